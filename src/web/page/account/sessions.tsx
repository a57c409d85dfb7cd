/** The browsers in which one is signed in. */
import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { ListedSession } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Moment } from '../parts/moments.tsx';
import { Message } from '../parts/states.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { useActing } from '../state/acting.ts';
import { usePolled } from '../state/polling.ts';
import { refreshSession } from '../state/session.ts';

const browsers = [
  ['Edge', /Edg(?:e|A|iOS)?\//],
  ['Opera', /OPR\//],
  ['Firefox', /(?:Firefox|FxiOS)\//],
  ['Chrome', /(?:Chrome|CriOS)\//],
  ['Safari', /Safari\//],
] as const;
const systems = [
  ['Android', /Android/],
  ['iPhone', /iPhone/],
  ['iPad', /iPad/],
  ['Windows', /Windows/],
  ['macOS', /Mac OS X|Macintosh/],
  ['Linux', /Linux/],
] as const;

/** "Firefox · Linux", by what the browser calls itself; undefined where it says nothing that people know. */
export function browserName(agent: string): string | undefined {
  const named = [browsers, systems].map((all) => all.find(([, pattern]) => pattern.test(agent))?.[0]);
  const known = named.filter((name) => name !== undefined);
  return known.length > 0 ? known.join(' · ') : undefined;
}

export function Sessions() {
  const say = useSay();
  const { sessions: words } = say.account;
  const { data, error, refresh } = usePolled<{ readonly data: readonly ListedSession[] }>('/v1/sessions');
  const [isEndingAll, endAll] = useState(false);
  return (
    <section class="card stack" aria-labelledby="sessions-title">
      <div class="card-head">
        <h2 id="sessions-title">{words.title}</h2>
        <Button isSmall onClick={() => endAll(true)}>
          {words.endAll}
        </Button>
      </div>
      {error !== undefined && !data ? <Message kind="error">{sayError(error, say)}</Message> : null}
      <ul class="rows" aria-busy={!data && error === undefined}>
        {(data?.data ?? []).map((one) => (
          <Row key={one.id} session={one} onEnded={refresh} />
        ))}
      </ul>
      {isEndingAll ? (
        <Confirm
          title={words.endAllTitle}
          action={words.endAll}
          onClose={() => endAll(false)}
          onConfirm={async () => {
            await call('/v1/sessions', { method: 'DELETE' });
            await refreshSession();
            return say.account.signedOut;
          }}
        >
          <p>{words.endAllHint}</p>
        </Confirm>
      ) : null}
    </section>
  );
}

function Row({ session, onEnded }: { session: ListedSession; onEnded: () => void }) {
  const { account } = useSay();
  const { sessions: words } = account;
  const { isBusy, run } = useActing();
  const name = browserName(session.browser) ?? words.unknown;
  const end = async (): Promise<string> => {
    await call(`/v1/sessions/${session.id}`, { method: 'DELETE' });
    onEnded();
    return words.ended;
  };
  return (
    <li>
      <div>
        <span class="who-name" title={session.browser}>
          {name}
        </span>
        <span class="hint">
          {words.since} <Moment at={session.created_at} /> · {words.until} <Moment at={session.expires_at} />
        </span>
      </div>
      {session.is_current ? (
        <span class="badge badge-idle">{words.current}</span>
      ) : (
        <Button isSmall isBusy={isBusy} onClick={() => void run(end)}>
          {words.end}
        </Button>
      )}
    </li>
  );
}
