/** A finished clip: its thumbnail, which plays while the pointer or the focus is on it. */
import { useState } from 'preact/hooks';

interface VideoTileProps {
  readonly id: string;
  /** What the clip shows, for those who do not see it. */
  readonly label: string;
  /** "640x384": keeps the place before anything is fetched. */
  readonly size: string;
  /** A player with controls instead, which begins by itself. */
  readonly isPlaying?: boolean;
}

export const contentPath = (id: string, variant?: 'thumbnail'): string =>
  `/v1/videos/${encodeURIComponent(id)}/content${variant ? `?variant=${variant}` : ''}`;

const wantsLessMotion = (): boolean => matchMedia('(prefers-reduced-motion: reduce)').matches;

export function VideoTile({ id, label, size, isPlaying = false }: VideoTileProps) {
  const [isLookedAt, setLookedAt] = useState(false);
  const [width = 1, height = 1] = size.split('x').map(Number);
  const look = (): void => setLookedAt(!wantsLessMotion());
  const leave = (): void => setLookedAt(false);
  return (
    <div
      class="video-tile"
      style={{ aspectRatio: `${width} / ${height}` }}
      onPointerEnter={look}
      onPointerLeave={leave}
    >
      <img
        src={contentPath(id, 'thumbnail')}
        alt={label}
        width={width}
        height={height}
        loading="lazy"
        decoding="async"
      />
      {isPlaying ? (
        <video
          src={contentPath(id)}
          aria-label={label}
          width={width}
          height={height}
          controls
          autoplay
          loop
          muted
          playsInline
        />
      ) : isLookedAt ? (
        <video
          src={contentPath(id)}
          tabIndex={-1}
          aria-hidden="true"
          width={width}
          height={height}
          autoplay
          loop
          muted
          playsInline
        />
      ) : null}
    </div>
  );
}
