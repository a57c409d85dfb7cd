/** Credits per day, extra credits and shares of the workers' time. */
import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { ListedQuota, Paged, ShownQuota } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Field } from '../parts/field.tsx';
import { Message, Notice, Waiting } from '../parts/states.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { useActing } from '../state/acting.ts';
import { usePolled } from '../state/polling.ts';
import { Pages } from './pages.tsx';
import { type Target, TargetFields, targetOf, targetText } from './target.tsx';
import { Who } from './who.tsx';

interface Weight {
  readonly target: string;
  readonly weight: number | null;
}

interface Looked {
  readonly target: Target;
  readonly quota: ShownQuota;
  readonly weight: number | null;
}

async function lookAt(target: Target): Promise<Looked> {
  const name = encodeURIComponent(targetText(target));
  const [quota, { weight }] = await Promise.all([
    call<ShownQuota>(`/v1/admin/quotas/${name}`),
    call<Weight>(`/v1/admin/weights/${name}`),
  ]);
  return { target, quota, weight };
}

export function Credits() {
  const { machine } = useSay();
  const { credits: words } = machine;
  const [page, setPage] = useState(1);
  const list = usePolled<Paged<ListedQuota>>(`/v1/admin/quotas?page=${page}`);
  const [target, setTarget] = useState<Target>({ kind: 'user', key: '' });
  const [looked, setLooked] = useState<Looked | undefined>();
  const { isBusy, run } = useActing();
  const look = (wanted: Target): Promise<boolean> =>
    run(async () => {
      setTarget(wanted);
      setLooked(await lookAt(wanted));
      list.refresh();
      return undefined;
    });
  return (
    <div class="columns">
      <section class="card stack" aria-labelledby="credits-of">
        <h2 id="credits-of">{words.of}</h2>
        <p class="hint">{words.ofHint}</p>
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void look(target);
          }}
        >
          <TargetFields target={target} onChange={setTarget} />
          <div>
            <Button type="submit" kind="primary" icon="search" isBusy={isBusy}>
              {words.look}
            </Button>
          </div>
        </form>
        {looked ? <Change looked={looked} onChanged={() => void look(looked.target)} /> : null}
      </section>
      <section class="card stack" aria-labelledby="credits-set">
        <h2 id="credits-set">{words.set}</h2>
        <List list={list.data} error={list.error} onChoose={(wanted) => void look(wanted)} />
        {list.data ? <Pages page={list.data.page} pages={list.data.pages} onChange={setPage} /> : null}
      </section>
    </div>
  );
}

interface ListProps {
  readonly list: Paged<ListedQuota> | undefined;
  readonly error: unknown;
  readonly onChoose: (target: Target) => void;
}

function List({ list, error, onChoose }: ListProps) {
  const say = useSay();
  const { credits: words, targets } = say.machine;
  if (!list) {
    return error === undefined ? (
      <Waiting label={say.shell.loading} />
    ) : (
      <Message kind="error">{sayError(error, say)}</Message>
    );
  }
  if (list.data.length === 0) return <Notice icon="spark" title={words.noneSet} hint={words.noneSetHint} />;
  return (
    <ul class="rows">
      {list.data.map((quota) => {
        const target = targetOf(quota.target);
        return (
          <li key={quota.target}>
            <div>
              <Who user={target.key} name={quota.name} />
              <span class="hint">{targets.kinds[target.kind]}</span>
            </div>
            <span class="numbers">
              {[
                quota.per_day === null ? null : words.perDay(quota.per_day),
                quota.granted > 0 ? words.extra(quota.granted) : null,
              ]
                .filter(Boolean)
                .join(', ')}
            </span>
            <Button isSmall onClick={() => onChoose(target)}>
              {words.change}
            </Button>
          </li>
        );
      })}
    </ul>
  );
}

const most = 1_000_000;

function Change({ looked, onChanged }: { looked: Looked; onChanged: () => void }) {
  const { machine } = useSay();
  const { credits: words } = machine;
  const { target, quota, weight } = looked;
  const name = encodeURIComponent(targetText(target));
  const { isBusy, run } = useActing();
  const change = async (path: string, method: 'PUT' | 'POST' | 'DELETE', body?: unknown): Promise<void> => {
    const isDone = await run(async () => {
      await call(path, { method, ...(body === undefined ? {} : { body }) });
      return words.saved;
    });
    if (isDone) onChanged();
  };
  return (
    <div class="stack change" aria-live="polite">
      <h3>
        <Who user={target.key} name={null} />
      </h3>
      {quota.used === null ? null : (
        <p>{words.standing(quota.used, quota.per_day ?? 0, quota.granted ?? 0)}</p>
      )}
      <NumberForm
        key={`day ${quota.target} ${quota.per_day}`}
        label={words.perDayLabel}
        action={words.save}
        initial={quota.per_day}
        min={0}
        max={most}
        step={1}
        isBusy={isBusy}
        onSubmit={(credits) => void change(`/v1/admin/quotas/${name}`, 'PUT', { per_day: credits })}
        other={{ label: words.usual, onClick: () => void change(`/v1/admin/quotas/${name}`, 'DELETE') }}
      />
      {target.kind === 'user' ? (
        <>
          <NumberForm
            key={`extra ${quota.target} ${quota.granted}`}
            label={words.extraLabel}
            hint={words.extraHint}
            action={words.give}
            initial={null}
            min={-most}
            max={most}
            step={1}
            isBusy={isBusy}
            onSubmit={(credits) =>
              void change('/v1/admin/grants', 'POST', { user: target.key.trim(), credits })
            }
          />
          <div>
            <Button
              isSmall
              isBusy={isBusy}
              onClick={() => void change(`/v1/admin/quotas/${name}/reset`, 'POST')}
            >
              {words.reset}
            </Button>
          </div>
        </>
      ) : null}
      <NumberForm
        key={`weight ${quota.target} ${weight}`}
        label={words.weightLabel}
        hint={words.weightHint}
        action={words.save}
        initial={weight ?? 1}
        min={0.1}
        max={10}
        step={0.1}
        isBusy={isBusy}
        onSubmit={(share) => void change(`/v1/admin/weights/${name}`, 'PUT', { weight: share })}
      />
    </div>
  );
}

interface NumberFormProps {
  readonly label: string;
  readonly hint?: string;
  readonly action: string;
  readonly initial: number | null;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly isBusy: boolean;
  readonly onSubmit: (value: number) => void;
  readonly other?: { readonly label: string; readonly onClick: () => void };
}

function NumberForm({ label, hint, action, initial, isBusy, onSubmit, other, ...range }: NumberFormProps) {
  const [text, setText] = useState(initial === null ? '' : String(initial));
  return (
    <form
      class="number-form"
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit(Number(text));
      }}
    >
      <Field label={label} hint={hint}>
        {(field) => (
          <input
            {...field}
            {...range}
            class="input"
            type="number"
            required
            value={text}
            onInput={({ currentTarget }) => setText(currentTarget.value)}
          />
        )}
      </Field>
      <div class="number-form-actions">
        <Button type="submit" isBusy={isBusy}>
          {action}
        </Button>
        {other ? (
          <Button kind="quiet" onClick={other.onClick}>
            {other.label}
          </Button>
        ) : null}
      </div>
    </form>
  );
}
