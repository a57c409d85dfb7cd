/** One clip: playing, or on its way; what it was made with, and what can be made of it. */
import './library.css';
import './clip.css';
import { useEffect, useState } from 'preact/hooks';
import { useLocation, useRoute } from 'preact-iso/router';
import { ApiError, call } from '../api/client.ts';
import type { Video } from '../api/types.ts';
import { Running } from '../create/live.tsx';
import { Button, ButtonLink } from '../parts/button.tsx';
import { Screen } from '../parts/screen.tsx';
import { Notice, Waiting } from '../parts/states.tsx';
import { ratioOf, useIsUncovered, type Variant, VideoTile } from '../parts/video-tile.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { isUnfinished, type LiveVideo, live } from '../state/live.ts';
import { useStore } from '../state/store.ts';
import { Actions } from './actions.tsx';
import { clipPath, pagePath } from './clip-calls.ts';
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
  const followed = useStore(live)?.find(({ video }) => video.id === id);
  useEffect(() => {
    const list = latestClipList();
    if (list) list.openedId = id;
  }, [id]);
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
  // While it is made, what is followed is ahead of what was fetched.
  const isAhead = followed && isUnfinished(state.clip);
  const now = isAhead ? followed : { video: state.clip, heardAt: performance.now(), isStopping: false };
  return <Shown now={now} onChange={(clip) => setState({ kind: 'ready', clip })} />;
}

/** What the library shows of it already, until the server has answered. */
function knownState(id: string): State {
  const list = latestClipList()?.state.get();
  const clip = list?.kind === 'ready' ? list.clips.find((known) => known.id === id) : undefined;
  return clip ? { kind: 'ready', clip } : { kind: 'loading' };
}

const lookEveryMs = 4_000;

/** Shows the clip, and again until it is over: only the latest ones are followed for all screens. */
async function follow(
  id: string,
  show: (clip: Video) => void,
  onError: (error: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    for (;;) {
      const clip = await call<Video>(clipPath(id), { signal });
      show(clip);
      if (!isUnfinished(clip)) return;
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
      if (signal.aborted) return;
    }
  } catch (error) {
    if (!signal.aborted) onError(error);
  }
}

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

function Shown({ now, onChange }: { now: LiveVideo; onChange: (clip: Video) => void }) {
  const clip = now.video;
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
      <div class="clip-ways">
        <a class="clip-back" href="/library">
          ← {say.clip.back}
        </a>
        <Neighbours id={clip.id} />
      </div>
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
            <Unmade now={now} />
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

/** The clips beside this one in the library that was shown last, also by the arrow keys. */
function Neighbours({ id }: { id: string }) {
  const say = useSay();
  const { route } = useLocation();
  const list = latestClipList()?.state.get();
  const clips = list?.kind === 'ready' ? list.clips : [];
  const at = clips.findIndex((clip) => clip.id === id);
  const [newer, older] = at < 0 ? [] : [clips[at - 1], clips[at + 1]];
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const { key, target, altKey, ctrlKey, metaKey, shiftKey } = event;
      const next = key === 'ArrowLeft' ? newer : key === 'ArrowRight' ? older : undefined;
      // A player and fields have their own use for arrows.
      const isTheirs = target instanceof Element && target.closest('video, input, textarea, select, dialog');
      if (next && !isTheirs && !altKey && !ctrlKey && !metaKey && !shiftKey) route(pagePath(next.id), true);
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [newer?.id, older?.id]);
  if (!newer && !older) return null;
  return (
    <nav class="clip-neighbours" aria-label={say.clip.neighbours}>
      {newer ? (
        <ButtonLink kind="quiet" isSmall href={pagePath(newer.id)}>{`← ${say.clip.newer}`}</ButtonLink>
      ) : null}
      {older ? (
        <ButtonLink kind="quiet" isSmall href={pagePath(older.id)}>{`${say.clip.older} →`}</ButtonLink>
      ) : null}
    </nav>
  );
}

/** In the place of the player. */
function Unmade({ now }: { now: LiveVideo }) {
  const say = useSay();
  const { status, error } = now.video;
  if (status === 'failed') {
    return <Notice icon="warning" title={say.clip.failedTitle} hint={error?.message ?? ''} />;
  }
  if (status === 'completed') {
    return <Notice icon="trash" title={say.clip.expiredTitle} hint={say.clip.expiredHint} />;
  }
  return (
    <div class="clip-running">
      <Running {...now} />
    </div>
  );
}
