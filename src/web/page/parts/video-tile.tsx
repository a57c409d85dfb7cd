/** A finished clip: its thumbnail, which plays while somebody looks at it. */
import { useEffect, useState } from 'preact/hooks';
import { connection } from '../api/client.ts';
import { useSay } from '../sentences/say.ts';
import { createStore, useStore } from '../state/store.ts';
import { Button } from './button.tsx';
import { Icon } from './icon.tsx';

export type Variant = 'video' | 'thumbnail' | 'smooth' | 'loop';

interface VideoTileProps {
  readonly id: string;
  /** What the clip shows, for those who do not see it. */
  readonly label: string;
  /** "640x384": keeps the place before anything is fetched. */
  readonly size: string;
  /** A player with controls instead, which begins by itself unless less motion is wanted. */
  readonly isPlaying?: boolean;
  /** Which of the clip's videos plays. */
  readonly variant?: Exclude<Variant, 'thumbnail'>;
  /** Plays the thumbnail, where something around the tile is looked at, such as a link with the focus. */
  readonly isLookedAt?: boolean;
  /** Its picture was under a cover: nothing of it is fetched before somebody wants to see it. */
  readonly isCovered?: boolean;
  /** The cover is part of a link: it cannot have a button. */
  readonly isInLink?: boolean;
}

export const contentPath = (id: string, variant: Variant = 'video'): string =>
  `/v1/videos/${encodeURIComponent(id)}/content${variant === 'video' ? '' : `?variant=${variant}`}`;

export const wantsLessMotion = (): boolean => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** Covers that were taken away, until the page is loaded again. */
const uncovered = createStore<ReadonlySet<string>>(new Set());
export const useIsUncovered = (id: string): boolean => useStore(uncovered).has(id);
export const uncover = (id: string): void => uncovered.set(new Set([...uncovered.get(), id]));

/** "640x384" as a number, within what a tile can show. */
export function ratioOf(size: string): number {
  const [width = 0, height = 0] = size.split('x').map(Number);
  return width > 0 && height > 0 ? width / height : 16 / 9;
}

export function VideoTile(props: VideoTileProps) {
  const { id, size, isCovered = false, isInLink = false } = props;
  const say = useSay();
  const isUncovered = useIsUncovered(id);
  if (!isCovered || isUncovered) return <Uncovered {...props} />;
  return (
    <div class="video-tile video-cover" style={{ aspectRatio: `${ratioOf(size)}` }}>
      <Icon name="eyeOff" />
      <span>{say.clips.covered}</span>
      {isInLink ? null : (
        <Button isSmall onClick={() => uncover(id)}>
          {say.clips.uncover}
        </Button>
      )}
    </div>
  );
}

function Uncovered({
  id,
  label,
  size,
  isPlaying = false,
  variant = 'video',
  isLookedAt = false,
}: VideoTileProps) {
  const [isPointedAt, setPointedAt] = useState(false);
  const { attempt, isMissing, onMissing } = useThumbnail();
  const [width = 1, height = 1] = size.split('x').map(Number);
  const common = { src: contentPath(id, variant), width, height, loop: true, muted: true, playsInline: true };
  return (
    <div
      class="video-tile"
      style={{ aspectRatio: `${ratioOf(size)}` }}
      onPointerEnter={({ pointerType }) => setPointedAt(pointerType === 'mouse' && !wantsLessMotion())}
      onPointerLeave={() => setPointedAt(false)}
    >
      <img
        key={attempt}
        class={isMissing ? 'video-missing' : ''}
        src={contentPath(id, 'thumbnail')}
        alt={label}
        width={width}
        height={height}
        loading="lazy"
        decoding="async"
        onError={onMissing}
      />
      {isPlaying ? (
        <video {...common} key={variant} aria-label={label} controls autoplay={!wantsLessMotion()} />
      ) : isPointedAt || isLookedAt ? (
        <video {...common} tabIndex={-1} aria-hidden="true" autoplay />
      ) : null}
    </div>
  );
}

/** A thumbnail that did not come while the server was away is asked for again when it is back. */
function useThumbnail() {
  const isBack = useStore(connection) === 'fine';
  const [attempt, setAttempt] = useState(0);
  const [isMissing, setMissing] = useState(false);
  useEffect(() => {
    if (!isBack || !isMissing) return;
    setMissing(false);
    setAttempt(attempt + 1);
  }, [isBack]);
  return { attempt, isMissing, onMissing: () => setMissing(true) };
}
