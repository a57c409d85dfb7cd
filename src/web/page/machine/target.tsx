/** Whom an admin means: a user, everybody with a role, or everybody in a community. */
import { useId } from 'preact/hooks';
import { Field } from '../parts/field.tsx';
import { useSay } from '../sentences/say.ts';

export const targetKinds = ['user', 'role', 'community'] as const;
export type TargetKind = (typeof targetKinds)[number];

export interface Target {
  readonly kind: TargetKind;
  /** "discord:8035" */
  readonly key: string;
}

/** As the API names it: "user:discord:8035". */
export const targetText = ({ kind, key }: Target): string => `${kind}:${key.trim()}`;

export function targetOf(text: string): Target {
  const kind = targetKinds.find((name) => text.startsWith(`${name}:`)) ?? 'user';
  return { kind, key: text.slice(kind.length + 1) };
}

interface TargetFieldsProps {
  readonly target: Target;
  readonly onChange: (target: Target) => void;
  readonly kinds?: readonly TargetKind[];
  /** Offered while one types. */
  readonly known?: readonly string[];
}

export function TargetFields({ target, onChange, kinds = targetKinds, known = [] }: TargetFieldsProps) {
  const { machine } = useSay();
  const listId = useId();
  return (
    <>
      {kinds.length > 1 ? (
        <Field label={machine.targets.kind}>
          {(field) => (
            <select
              {...field}
              class="input"
              value={target.kind}
              onChange={({ currentTarget }) =>
                onChange({
                  ...target,
                  kind: kinds.find((kind) => kind === currentTarget.value) ?? target.kind,
                })
              }
            >
              {kinds.map((kind) => (
                <option key={kind} value={kind}>
                  {machine.targets.kinds[kind]}
                </option>
              ))}
            </select>
          )}
        </Field>
      ) : null}
      <Field label={machine.targets.key} hint={machine.targets.keyHint}>
        {(field) => (
          <>
            <input
              {...field}
              class="input"
              required
              pattern="[a-z]+:[\w.@\-]{1,64}"
              placeholder="discord:8035"
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              list={known.length > 0 ? listId : undefined}
              value={target.key}
              onInput={({ currentTarget }) => onChange({ ...target, key: currentTarget.value })}
            />
            {known.length > 0 ? (
              <datalist id={listId}>
                {known.map((key) => (
                  <option key={key} value={key} />
                ))}
              </datalist>
            ) : null}
          </>
        )}
      </Field>
    </>
  );
}
