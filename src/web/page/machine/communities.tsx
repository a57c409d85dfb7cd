/** Rules of a community, which its moderators set in the chat. */
import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { ShownRules } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Field } from '../parts/field.tsx';
import { useSay } from '../sentences/say.ts';
import { useActing } from '../state/acting.ts';
import { usePolled } from '../state/polling.ts';
import { TargetFields } from './target.tsx';

const presets = [
  'any',
  'fast',
  'standard',
  'high',
  'creative',
] as const satisfies readonly ShownRules['preset'][];
const kinds = ['community'] as const;
const switches = ['spoiler', 'age', 'as_channel'] as const;

const pathOf = (community: string): string => `/v1/admin/rules/${encodeURIComponent(community)}`;

export function Communities() {
  const { machine } = useSay();
  const { rules: words } = machine;
  const known = usePolled<{ readonly data: readonly string[] }>('/v1/admin/rules');
  const [key, setKey] = useState('');
  const [rules, setRules] = useState<ShownRules | undefined>();
  const { isBusy, run } = useActing();
  const look = async (community: string): Promise<void> => {
    await run(async () => {
      setKey(community);
      setRules(await call<ShownRules>(pathOf(community.trim())));
      return undefined;
    });
  };
  return (
    <div class="columns">
      <section class="card stack" aria-labelledby="rules-of">
        <h2 id="rules-of">{words.title}</h2>
        <p class="hint">{words.hint}</p>
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void look(key);
          }}
        >
          <TargetFields
            target={{ kind: 'community', key }}
            onChange={(target) => setKey(target.key)}
            kinds={kinds}
            known={known.data?.data ?? []}
          />
          <div>
            <Button type="submit" kind="primary" icon="search" isBusy={isBusy}>
              {words.look}
            </Button>
          </div>
        </form>
        {known.data && known.data.data.length > 0 ? (
          <>
            <h3>{words.known}</h3>
            <ul class="chips">
              {known.data.data.map((community) => (
                <li key={community}>
                  <Button isSmall onClick={() => void look(community)}>
                    {community}
                  </Button>
                </li>
              ))}
            </ul>
          </>
        ) : null}
      </section>
      {rules ? (
        <RuleForm
          key={JSON.stringify(rules)}
          rules={rules}
          onSaved={(saved) => {
            setRules(saved);
            known.refresh();
          }}
        />
      ) : null}
    </div>
  );
}

const keysIn = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

function RuleForm({ rules, onSaved }: { rules: ShownRules; onSaved: (rules: ShownRules) => void }) {
  const { machine, create } = useSay();
  const { rules: words } = machine;
  const [draft, setDraft] = useState(rules);
  const [channels, setChannels] = useState(rules.channels.join(' '));
  const [roles, setRoles] = useState(rules.roles.join(' '));
  const [added, setAdded] = useState('');
  const { isBusy, run } = useActing();
  const save = (change: Record<string, unknown>): Promise<boolean> =>
    run(async () => {
      onSaved(await call<ShownRules>(pathOf(rules.community), { method: 'PATCH', body: change }));
      return words.saved;
    });
  const changed = (): Record<string, unknown> => ({
    ...Object.fromEntries(
      switches.flatMap((name) => (draft[name] === rules[name] ? [] : [[name, draft[name]]])),
    ),
    ...(draft.preset === rules.preset ? {} : { preset: draft.preset }),
    ...(channels === rules.channels.join(' ') ? {} : { channels: keysIn(channels) }),
    ...(roles === rules.roles.join(' ') ? {} : { roles: keysIn(roles) }),
    ...(added.trim() ? { add_words: added } : {}),
  });
  return (
    <section class="card stack" aria-labelledby="rules-form">
      <h2 id="rules-form">
        <code>{rules.community}</code>
      </h2>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void save(changed());
        }}
      >
        {switches.map((name) => (
          <label class="check" key={name}>
            <input
              type="checkbox"
              checked={draft[name]}
              onChange={({ currentTarget }) => setDraft({ ...draft, [name]: currentTarget.checked })}
            />
            <span>{words.switches[name]}</span>
          </label>
        ))}
        <Field label={words.preset}>
          {(field) => (
            <select
              {...field}
              class="input"
              value={draft.preset}
              onChange={({ currentTarget }) =>
                setDraft({ ...draft, preset: presets.find((name) => name === currentTarget.value) ?? 'any' })
              }
            >
              {presets.map((name) => (
                <option key={name} value={name}>
                  {name === 'any' ? words.anyPreset : create.preset.names[name]}
                </option>
              ))}
            </select>
          )}
        </Field>
        <TextField label={words.channels} hint={words.channelsHint} value={channels} onInput={setChannels} />
        <TextField label={words.roles} hint={words.rolesHint} value={roles} onInput={setRoles} />
        <TextField label={words.words} hint={words.wordsHint} value={added} onInput={setAdded} />
        {rules.words.length > 0 ? (
          <ul class="chips">
            {rules.words.map((word) => (
              <li key={word}>
                <Button isSmall icon="close" onClick={() => void save({ remove_words: word })}>
                  {word}
                </Button>
              </li>
            ))}
          </ul>
        ) : null}
        <div>
          <Button type="submit" kind="primary" isBusy={isBusy}>
            {words.save}
          </Button>
        </div>
      </form>
    </section>
  );
}

interface TextFieldProps {
  readonly label: string;
  readonly hint: string;
  readonly value: string;
  readonly onInput: (text: string) => void;
}

function TextField({ label, hint, value, onInput }: TextFieldProps) {
  return (
    <Field label={label} hint={hint}>
      {(field) => (
        <input
          {...field}
          class="input"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          value={value}
          onInput={({ currentTarget }) => onInput(currentTarget.value)}
        />
      )}
    </Field>
  );
}
