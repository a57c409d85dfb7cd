/** What admins and moderators changed, newest first. */
import { useEffect, useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { AuditPage } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Moment } from '../parts/moments.tsx';
import { Message, Notice, Waiting } from '../parts/states.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { useActing } from '../state/acting.ts';
import { usePolled } from '../state/polling.ts';
import { Who } from './who.tsx';

const atOnce = 25;
/** What pause, drain and resume change: their names say it all. */
const wholeQueue = 'queue';
type Entry = AuditPage['data'][number];

export function Trail() {
  const say = useSay();
  const { trail: words } = say.machine;
  const first = usePolled<AuditPage>(`/v1/admin/audit?limit=${atOnce}`);
  const [entries, setEntries] = useState<readonly Entry[] | undefined>();
  const [hasMore, setMore] = useState(false);
  const { isBusy, run } = useActing();
  useEffect(() => {
    if (!first.data) return;
    setEntries(first.data.data);
    setMore(first.data.has_more);
  }, [first.data]);
  if (!entries) {
    return first.error === undefined ? (
      <Waiting label={say.shell.loading} />
    ) : (
      <Message kind="error">{sayError(first.error, say)}</Message>
    );
  }
  if (entries.length === 0) return <Notice icon="check" title={words.none} hint={words.noneHint} />;
  const earlier = async (): Promise<undefined> => {
    const before = entries.at(-1)?.id ?? '';
    const page = await call<AuditPage>(`/v1/admin/audit?limit=${atOnce}&before=${before}`);
    setEntries([...entries, ...page.data]);
    setMore(page.has_more);
  };
  return (
    <section class="card table-card" aria-label={words.title}>
      <table class="table trail-table">
        <thead>
          <tr>
            <th scope="col">{words.when}</th>
            <th scope="col">{words.who}</th>
            <th scope="col">{words.what}</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr key={entry.id}>
              <td>
                <Moment at={entry.at} />
              </td>
              <td>
                <Who user={entry.by} name={entry.by_name} />
              </td>
              <td>
                <strong>{words.actions[entry.action] ?? entry.action}</strong>
                {entry.target === wholeQueue ? null : (
                  <>
                    {' '}
                    <code>{entry.target}</code>
                    <Values before={entry.before} after={entry.after} />
                  </>
                )}
                {entry.reason ? <span class="hint trail-reason">{entry.reason}</span> : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {hasMore ? (
        <p class="table-more">
          <Button isSmall isBusy={isBusy} onClick={() => void run(earlier)}>
            {words.earlier}
          </Button>
        </p>
      ) : null}
    </section>
  );
}

/** Values as they are stored; bans are told by their reason, and what is long says nothing more. */
function Values({ before, after }: { before: string; after: string }) {
  const short = (text: string): string => (text === '' ? '–' : text);
  if (before.startsWith('{') || after.startsWith('{') || (before === '' && after === '')) return null;
  return (
    <span class="hint numbers">
      {' '}
      {short(before)} → {short(after)}
    </span>
  );
}
