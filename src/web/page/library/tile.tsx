/** One clip in the library: its thumbnail, which plays while it is looked at, and what it is. */
import { useState } from 'preact/hooks';
import type { Video } from '../api/types.ts';
import { IconButton } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { Progress } from '../parts/progress.tsx';
import { showToast } from '../parts/toasts.tsx';
import { ratioOf, useIsUncovered, VideoTile, wantsLessMotion } from '../parts/video-tile.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { live } from '../state/live.ts';
import { useStore } from '../state/store.ts';
import { pagePath, setFavourite } from './clip-calls.ts';
import { latestClipList } from './clip-list.ts';
import { ageText } from './time.ts';

/** Shapes beyond these are cut in the library, so that each is large enough to be seen. */
const [narrowest, widest] = [0.7, 2.1];

export const tileRatio = (size: string): number => Math.min(widest, Math.max(narrowest, ratioOf(size)));

export function Tile({ clip }: { clip: Video }) {
  const say = useSay();
  const [isFocused, setFocused] = useState(false);
  const [isTapped, setTapped] = useState(false);
  const isUncovered = useIsUncovered(clip.id);
  const { id, prompt, preset, status, favourite, created_at } = clip;
  const isKept = clip.variants.includes('video');
  const isCovered = clip.spoiler && !isUncovered;
  const state = status === 'completed' ? (isKept ? '' : say.library.expired) : say.clips.states[status];
  const label = prompt || say.clips.noPrompt;
  const star = async (): Promise<void> => {
    latestClipList()?.update({ ...clip, favourite: !favourite });
    await setFavourite(clip, !favourite).catch((error: unknown) => {
      latestClipList()?.update(clip);
      showToast(sayError(error, say), 'error');
    });
  };
  return (
    <li class="clip-tile" style={{ '--ratio': tileRatio(clip.size) }}>
      <a
        class="clip-link"
        href={pagePath(id)}
        onFocus={({ currentTarget }) =>
          setFocused(currentTarget.matches(':focus-visible') && !wantsLessMotion())
        }
        onBlur={() => setFocused(false)}
        onClick={() => {
          const list = latestClipList();
          if (list) list.scrolledTo = scrollY;
        }}
      >
        <span class="clip-picture">
          {isKept ? (
            <VideoTile
              id={id}
              label=""
              size={clip.size}
              isLookedAt={isFocused || isTapped}
              isCovered={clip.spoiler}
              isInLink
            />
          ) : (
            <Unmade clip={clip} />
          )}
        </span>
        <span class="clip-prompt">{isCovered ? say.clips.covered : label}</span>
        <span class="clip-meta">
          {state ? <span>{state}</span> : null}
          <span>{preset}</span>
          <time dateTime={new Date(created_at * 1000).toISOString()}>{ageText(created_at)}</time>
        </span>
      </a>
      <div class="clip-corner">
        {isKept || favourite ? (
          <span class={favourite ? 'clip-star clip-starred' : 'clip-star'}>
            <IconButton
              icon="star"
              label={say.library.favourite}
              isPressed={favourite}
              onClick={() => void star()}
            />
          </span>
        ) : null}
        {isKept && !isCovered ? (
          <span class="clip-play">
            <IconButton
              icon={isTapped ? 'close' : 'play'}
              label={isTapped ? say.library.pause : say.library.play}
              onClick={() => setTapped(!isTapped)}
            />
          </span>
        ) : null}
      </div>
    </li>
  );
}

/** In the place of the picture of a clip that has none. */
function Unmade({ clip }: { clip: Video }) {
  const say = useSay();
  const followed = useStore(live)?.find(({ video }) => video.id === clip.id);
  const { status, progress, error } = followed?.video ?? clip;
  if (status === 'failed' || status === 'completed') {
    return (
      <span class="clip-unmade">
        <Icon name={status === 'failed' ? 'warning' : 'trash'} />
        <span>{error?.message ?? say.library.expired}</span>
      </span>
    );
  }
  const label = say.clips.states[status];
  return (
    <span class="clip-unmade">
      <span>{label}</span>
      <Progress label={label} percent={status === 'queued' ? undefined : progress} />
    </span>
  );
}
