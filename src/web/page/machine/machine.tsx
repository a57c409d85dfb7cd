/** The machine, for admins: what waits and runs, the workers, people's credits and bans, what was changed, and the log. */
import '../styles/lists.css';
import './machine.css';
import { useEffect, useRef } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import type { QueueNow, ShownWorker } from '../api/types.ts';
import { ButtonLink } from '../parts/button.tsx';
import { Screen } from '../parts/screen.tsx';
import { Message, Notice, Waiting } from '../parts/states.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { type Polled, usePolled } from '../state/polling.ts';
import { isAdmin, session } from '../state/session.ts';
import { useStore } from '../state/store.ts';
import { Bans } from './bans.tsx';
import { Communities } from './communities.tsx';
import { Credits } from './credits.tsx';
import { LiveLog } from './live-log.tsx';
import { ModeBanner, ModeButtons } from './mode.tsx';
import { Numbers } from './numbers.tsx';
import { Queue } from './queue.tsx';
import { Trail } from './trail.tsx';
import { Workers } from './workers.tsx';

const parts = ['overview', 'credits', 'bans', 'communities', 'trail', 'log'] as const;
type Part = (typeof parts)[number];

const lookEveryMs = 2_000;

export default function Machine() {
  const say = useSay();
  const now = useStore(session);
  if (now.kind === 'signed-in' && isAdmin(now.me)) return <Administration />;
  // As any address that shows nothing.
  return (
    <Screen title={say.shell.notFound} isTitleHidden>
      <Notice icon="search" title={say.shell.notFound} hint={say.shell.notFoundHint}>
        <ButtonLink href="/" kind="primary">
          {say.shell.toCreate}
        </ButtonLink>
      </Notice>
    </Screen>
  );
}

function Administration() {
  const say = useSay();
  const { query } = useLocation();
  const queue = usePolled<QueueNow>('/v1/admin/queue', lookEveryMs);
  const part = parts.find((name) => name === query['part']) ?? 'overview';
  const tabs = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a phone they are wider than the page.
    const current = tabs.current?.querySelector('[aria-current]');
    current?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [part]);
  return (
    <Screen title={say.machine.title} actions={<ModeButtons queue={queue} />}>
      <ModeBanner queue={queue} />
      <nav class="part-tabs" aria-label={say.machine.parts} ref={tabs}>
        {parts.map((name) => (
          <a
            key={name}
            href={name === 'overview' ? '/machine' : `/machine?part=${name}`}
            aria-current={name === part ? 'page' : undefined}
          >
            {say.machine.part[name]}
          </a>
        ))}
      </nav>
      <Content part={part} queue={queue} />
    </Screen>
  );
}

function Content({ part, queue }: { part: Part; queue: Polled<QueueNow> }) {
  switch (part) {
    case 'overview':
      return <Overview queue={queue} />;
    case 'credits':
      return <Credits />;
    case 'bans':
      return <Bans />;
    case 'communities':
      return <Communities />;
    case 'trail':
      return <Trail />;
    case 'log':
      return <LiveLog />;
  }
}

function Overview({ queue }: { queue: Polled<QueueNow> }) {
  const say = useSay();
  const workers = usePolled<{ readonly data: readonly ShownWorker[] }>('/v1/admin/workers', lookEveryMs);
  if (!queue.data || !workers.data) {
    const error = queue.error ?? workers.error;
    return error === undefined ? (
      <Waiting label={say.shell.loading} />
    ) : (
      <Message kind="error">{sayError(error, say)}</Message>
    );
  }
  return (
    <div class="overview">
      <Numbers queue={queue.data} workers={workers.data.data} />
      <Workers workers={workers.data.data} jobs={queue.data.data} />
      <Queue queue={queue.data} onChange={queue.refresh} />
    </div>
  );
}
