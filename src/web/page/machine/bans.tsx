/** Who may not use Kinora. */
import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { ListedBan, Paged } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Field } from '../parts/field.tsx';
import { Moment } from '../parts/moments.tsx';
import { Message, Notice, Waiting } from '../parts/states.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { usePolled } from '../state/polling.ts';
import { ReasonField } from './mode.tsx';
import { Pages } from './pages.tsx';
import { type Target, TargetFields, targetOf, targetText } from './target.tsx';
import { Who } from './who.tsx';

const kinds = ['user', 'community'] as const;
/** Of a ban; 0 is for good. */
const lengths = [1, 24, 168, 720, 0] as const;
type Hours = (typeof lengths)[number];

export function Bans() {
  const { machine } = useSay();
  const { bans: words } = machine;
  const [page, setPage] = useState(1);
  const list = usePolled<Paged<ListedBan>>(`/v1/admin/bans?page=${page}`);
  return (
    <div class="columns">
      <NewBan onChange={list.refresh} />
      <section class="card stack" aria-labelledby="bans-title">
        <h2 id="bans-title">{words.title}</h2>
        <List list={list.data} error={list.error} onChange={list.refresh} />
        {list.data ? <Pages page={list.data.page} pages={list.data.pages} onChange={setPage} /> : null}
      </section>
    </div>
  );
}

function NewBan({ onChange }: { onChange: () => void }) {
  const { machine } = useSay();
  const { bans: words } = machine;
  const [target, setTarget] = useState<Target>({ kind: 'user', key: '' });
  const [hours, setHours] = useState<Hours>(24);
  const [reason, setReason] = useState('');
  const [isAsked, ask] = useState(false);
  return (
    <section class="card stack" aria-labelledby="ban-new">
      <h2 id="ban-new">{words.new}</h2>
      <p class="hint">{words.newHint}</p>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          ask(true);
        }}
      >
        <TargetFields target={target} onChange={setTarget} kinds={kinds} />
        <Field label={words.length}>
          {(field) => (
            <select
              {...field}
              class="input"
              value={hours}
              onChange={({ currentTarget }) =>
                setHours(lengths.find((length) => length === Number(currentTarget.value)) ?? 24)
              }
            >
              {lengths.map((length) => (
                <option key={length} value={length}>
                  {words.lengths[length]}
                </option>
              ))}
            </select>
          )}
        </Field>
        <ReasonField value={reason} onInput={setReason} />
        <div>
          <Button type="submit" kind="danger">
            {words.ban}
          </Button>
        </div>
      </form>
      {isAsked ? (
        <Confirm
          title={words.banTitle(target.key.trim())}
          action={words.ban}
          onClose={() => ask(false)}
          onConfirm={async () => {
            const body = { reason, ...(hours === 0 ? {} : { hours }) };
            await call(`/v1/admin/bans/${encodeURIComponent(targetText(target))}`, { method: 'PUT', body });
            setTarget({ ...target, key: '' });
            setReason('');
            onChange();
            return words.banned;
          }}
        >
          <p>{words.banHint(words.lengths[hours])}</p>
        </Confirm>
      ) : null}
    </section>
  );
}

interface ListProps {
  readonly list: Paged<ListedBan> | undefined;
  readonly error: unknown;
  readonly onChange: () => void;
}

function List({ list, error, onChange }: ListProps) {
  const say = useSay();
  const { bans: words } = say.machine;
  const [lifted, lift] = useState<ListedBan | undefined>();
  if (!list) {
    return error === undefined ? (
      <Waiting label={say.shell.loading} />
    ) : (
      <Message kind="error">{sayError(error, say)}</Message>
    );
  }
  if (list.data.length === 0) return <Notice icon="check" title={words.none} hint={words.noneHint} />;
  return (
    <>
      <ul class="rows">
        {list.data.map((ban) => (
          <li key={ban.target}>
            <div>
              <Who user={targetOf(ban.target).key} name={ban.name} />
              <span class="hint">
                {ban.until ? (
                  <>
                    {words.until} <Moment at={ban.until} />
                  </>
                ) : (
                  words.lengths[0]
                )}
                {ban.by ? ` · ${words.by(ban.by)}` : ''}
                {ban.reason ? ` · ${ban.reason}` : ''}
              </span>
            </div>
            <Button isSmall onClick={() => lift(ban)}>
              {words.lift}
            </Button>
          </li>
        ))}
      </ul>
      {lifted ? (
        <Confirm
          title={words.liftTitle(lifted.name ?? targetOf(lifted.target).key)}
          action={words.lift}
          kind="primary"
          onClose={() => lift(undefined)}
          onConfirm={async () => {
            await call(`/v1/admin/bans/${encodeURIComponent(lifted.target)}`, { method: 'DELETE' });
            onChange();
            return words.lifted;
          }}
        />
      ) : null}
    </>
  );
}
