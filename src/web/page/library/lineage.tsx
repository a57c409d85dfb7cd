/** What a clip was made from, and what was made from it, as a small tree. */
import { useEffect, useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { Lineage as Family, Video } from '../api/types.ts';
import { Icon } from '../parts/icon.tsx';
import { useIsUncovered, VideoTile, wantsLessMotion } from '../parts/video-tile.tsx';
import { useSay } from '../sentences/say.ts';
import { clipPath, pagePath } from './clip-calls.ts';

/** Left out while it is not known, and where there is nothing but the clip itself. */
export function Lineage({ clip: { id, status } }: { clip: Video }) {
  const { clip: words } = useSay();
  const [family, setFamily] = useState<Family>();
  useEffect(() => {
    const ending = new AbortController();
    call<Family>(`${clipPath(id)}/lineage`, { signal: ending.signal }).then(setFamily, () => {});
    return () => ending.abort();
  }, [id, status]);
  const [root] = family?.data ?? [];
  if (!family || !root || family.data.length < 2) return null;
  return (
    <section class="clip-lineage card" aria-labelledby="lineage">
      <div>
        <h2 id="lineage">{words.lineage}</h2>
        <p class="hint">{words.lineageHint}</p>
      </div>
      <ul class="clip-tree">
        <Branch clip={root} all={family.data} currentId={id} />
      </ul>
      {family.truncated ? <p class="hint">{words.lineageMore}</p> : null}
    </section>
  );
}

function Branch({ clip, all, currentId }: { clip: Video; all: readonly Video[]; currentId: string }) {
  const children = all
    .filter(({ remixed_from_video_id }) => remixed_from_video_id === clip.id)
    .sort((a, b) => a.created_at - b.created_at);
  return (
    <li>
      <Relative clip={clip} isCurrent={clip.id === currentId} />
      {children.length > 0 ? (
        <ul>
          {children.map((child) => (
            <Branch key={child.id} clip={child} all={all} currentId={currentId} />
          ))}
        </ul>
      ) : null}
    </li>
  );
}

function Relative({ clip, isCurrent }: { clip: Video; isCurrent: boolean }) {
  const say = useSay();
  const [isFocused, setFocused] = useState(false);
  const isUncovered = useIsUncovered(clip.id);
  const isKept = clip.variants.includes('video');
  const isCovered = clip.spoiler && !isUncovered;
  const how = clip.remixed_by ? say.clip.by[clip.remixed_by] : say.clip.lineageFirst;
  const state =
    clip.status === 'completed' ? (isKept ? '' : say.library.expired) : say.clips.states[clip.status];
  return (
    <a
      class="clip-relative"
      href={pagePath(clip.id)}
      aria-current={isCurrent ? 'page' : undefined}
      onFocus={() => setFocused(!wantsLessMotion())}
      onBlur={() => setFocused(false)}
    >
      <span class="clip-relative-picture">
        {isKept ? (
          <VideoTile
            id={clip.id}
            label=""
            size={clip.size}
            isLookedAt={isFocused}
            isCovered={clip.spoiler}
            isInLink
          />
        ) : (
          <Icon
            name={clip.status === 'failed' ? 'warning' : clip.status === 'completed' ? 'trash' : 'spark'}
          />
        )}
      </span>
      <span class="clip-relative-text">
        <strong>
          {how}
          {isCurrent ? ` · ${say.clip.current}` : ''}
        </strong>
        <span>{isCovered ? say.clips.covered : clip.prompt || say.clips.noPrompt}</span>
        <span class="hint">{state || `${say.labels.seed} ${clip.seed}`}</span>
      </span>
    </a>
  );
}
