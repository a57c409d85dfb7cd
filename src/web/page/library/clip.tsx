/** One clip: playing, or on its way; what it was made with, and what can be made of it. */
import './library.css';
import './clip.css';
import { useEffect, useState } from 'preact/hooks';
import { useLocation, useRoute } from 'preact-iso/router';
import { ApiError, call } from '../api/client.ts';
import { followEvents } from '../api/events.ts';
import type { Video } from '../api/types.ts';
import { Button, ButtonLink } from '../parts/button.tsx';
import { Progress } from '../parts/progress.tsx';
import { Screen } from '../parts/screen.tsx';
import { Message, Notice, Waiting } from '../parts/states.tsx';
import { ratioOf, useIsUncovered, type Variant, VideoTile } from '../parts/video-tile.tsx';
import { type Sentences, sayError, useSay } from '../sentences/say.ts';
import { Actions } from './actions.tsx';
import { cancelClip, clipPath } from './clip-calls.ts';
import { latestClipList } from './clip-list.ts';
import { Details } from './details.tsx';
import { Lineage } from './lineage.tsx';
import { dateText } from './time.ts';

export default function Clip() {
  const { params } = useRoute();
  const id = params['id'] ?? '';
  // Another clip is another screen.
  return <OneClip key={id} id={id} />;
}

type State =
  | { readonly kind: 'loading' }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'ready'; readonly clip: Video };

function OneClip({ id }: { id: string }) {
  const say = useSay();
  const [state, setState] = useState<State>(() => knownState(id));
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const ending = new AbortController();
    const show = (clip: Video): void => {
      setState({ kind: 'ready', clip });
      latestClipList()?.update(clip);
    };
    void follow(id, show, (error) => setState({ kind: 'failed', error }), ending.signal);
    return () => ending.abort();
  }, [id, attempt]);
  if (state.kind === 'loading') {
    return (
      <Screen title={say.clip.title} isTitleHidden>
        <Waiting label={say.shell.loading} />
      </Screen>
    );
  }
  if (state.kind === 'failed') return <Failed error={state.error} onRetry={() => setAttempt(attempt + 1)} />;
  return <Shown clip={state.clip} onChange={(clip) => setState({ kind: 'ready', clip })} />;
}

/** What the library shows of it already, until the server has answered. */
function knownState(id: string): State {
  const list = latestClipList()?.state.get();
  const clip = list?.kind === 'ready' ? list.clips.find((known) => known.id === id) : undefined;
  return clip ? { kind: 'ready', clip } : { kind: 'loading' };
}

const isOver = ({ status }: Video): boolean => status === 'completed' || status === 'failed';

/** Shows the clip, and how it comes along until it is over. */
async function follow(
  id: string,
  show: (clip: Video) => void,
  onError: (error: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    const look = (): Promise<Video> => call<Video>(clipPath(id), { signal });
    let clip = await look();
    show(clip);
    if (isOver(clip)) return;
    await followEvents(
      `${clipPath(id)}/events`,
      ({ name, data }) => {
        // "done" has the clip; the others have the fields of it that have changed.
        const changes = data as Partial<Video>;
        const hasBegun = name === 'step' || name === 'decoding';
        clip = {
          ...clip,
          ...(name === 'position' ? {} : { queue_position: null, phase: phases[name] ?? clip.phase }),
          ...(hasBegun ? { status: 'in_progress' } : {}),
          ...changes,
        };
        show(clip);
      },
      ({ name }) => name === 'done',
      signal,
    );
    // Ended without "done": it was deleted, or something is out of order.
    if (!isOver(clip) && !signal.aborted) show(await look());
  } catch (error) {
    if (!signal.aborted) onError(error);
  }
}
const phases: Readonly<Record<string, Video['phase']>> = { step: 'denoising', decoding: 'decoding' };

function Failed({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  const say = useSay();
  const isUnknown = error instanceof ApiError && error.status === 404;
  const title = isUnknown ? say.clip.notFound : say.library.failed;
  return (
    <Screen title={title} isTitleHidden>
      <Notice
        icon={isUnknown ? 'search' : 'warning'}
        title={title}
        hint={isUnknown ? say.clip.notFoundHint : sayError(error, say)}
      >
        {isUnknown ? null : (
          <Button kind="primary" onClick={onRetry}>
            {say.shell.retry}
          </Button>
        )}
        <ButtonLink href="/library" kind={isUnknown ? 'primary' : 'secondary'} icon="library">
          {say.clip.toLibrary}
        </ButtonLink>
      </Notice>
    </Screen>
  );
}

function Shown({ clip, onChange }: { clip: Video; onChange: (clip: Video) => void }) {
  const say = useSay();
  const { route } = useLocation();
  const isUncovered = useIsUncovered(clip.id);
  const [variant, setVariant] = useState<Exclude<Variant, 'thumbnail'>>('video');
  const isKept = clip.variants.includes('video');
  const isCovered = clip.spoiler && !isUncovered;
  const title = (isCovered ? say.clips.covered : clip.prompt) || say.clips.noPrompt;
  const { expires_at } = clip;
  return (
    <Screen title={title} isTitleHidden>
      <a class="clip-back" href="/library">
        ← {say.clip.back}
      </a>
      <div class="clip-page">
        <div class="clip-stage" style={{ '--ratio': ratioOf(clip.size) }}>
          {isKept ? (
            <VideoTile
              id={clip.id}
              label={title}
              size={clip.size}
              variant={variant}
              isCovered={clip.spoiler}
              isPlaying
            />
          ) : (
            <Unmade clip={clip} onChange={onChange} />
          )}
        </div>
        <div class="clip-side">
          <p class="clip-title">{title}</p>
          <Actions
            clip={clip}
            variant={variant}
            onVariant={setVariant}
            onChange={onChange}
            onGone={() => route('/library')}
          />
          {isKept && expires_at !== null ? (
            <p class="hint">
              {(clip.favourite ? say.clip.favouriteUntil : say.clip.keptUntil)(dateText(expires_at))}
            </p>
          ) : null}
        </div>
        <div class="clip-below">
          {isCovered ? null : <Details clip={clip} />}
          <Lineage clip={clip} />
        </div>
      </div>
    </Screen>
  );
}

/** In the place of the player. */
function Unmade({ clip, onChange }: { clip: Video; onChange: (clip: Video) => void }) {
  const say = useSay();
  if (clip.status === 'failed') {
    return <Notice icon="warning" title={say.clip.failedTitle} hint={clip.error?.message ?? ''} />;
  }
  if (clip.status === 'completed') {
    return <Notice icon="trash" title={say.clip.expiredTitle} hint={say.clip.expiredHint} />;
  }
  return <Running clip={clip} onChange={onChange} />;
}

function Running({ clip, onChange }: { clip: Video; onChange: (clip: Video) => void }) {
  const say = useSay();
  const [isCancelling, setCancelling] = useState(false);
  const [error, setError] = useState<unknown>();
  const text = progressText(clip, say);
  const left = clip.seconds_left;
  const cancel = async (): Promise<void> => {
    setCancelling(true);
    setError(undefined);
    try {
      onChange(await cancelClip(clip.id));
    } catch (reason) {
      setError(reason);
      setCancelling(false);
    }
  };
  const hasBegun = clip.status === 'in_progress';
  return (
    <div class="clip-running">
      <p role="status">{isCancelling ? say.clip.cancelling : text}</p>
      <Progress label={say.clips.states[clip.status]} percent={hasBegun ? percentOf(clip) : undefined} />
      <p class="hint numbers">{left === null ? ' ' : say.status.left(left * 1000)}</p>
      <Button icon="close" isBusy={isCancelling} onClick={() => void cancel()}>
        {say.clip.cancel}
      </Button>
      {error === undefined ? null : <Message kind="error">{sayError(error, say)}</Message>}
    </div>
  );
}

/** Decoding takes about as long as a tenth of the steps, as the server counts it. */
function percentOf({ phase, step, steps, progress }: Video): number {
  const share = steps ? (step ?? 0) / steps : 0;
  if (phase === 'denoising') return Math.max(progress, 90 * share);
  return phase === 'decoding' ? Math.max(progress, 90 + 9 * share) : progress;
}

function progressText({ status, phase, queue_position, step, steps }: Video, say: Sentences): string {
  if (queue_position !== null) return say.clip.waiting(queue_position);
  switch (phase) {
    case 'denoising':
      return say.clip.step(step ?? 0, steps ?? 0);
    case 'decoding':
      return say.status.decoding(step ?? 0, steps ?? 0);
    case 'loading':
    case 'encoding':
    case 'finishing':
      return say.status[phase];
    default:
      return say.clips.states[status];
  }
}
