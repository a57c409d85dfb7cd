/** What the person asked for lately, from whatever surface: how far it is, and the clip when it is done. */
import { useEffect, useState } from 'preact/hooks';
import { understoodLine } from '../../../bot/sentences/understood.ts';
import type { Video } from '../api/types.ts';
import { Button, ButtonLink, IconLink } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { Progress } from '../parts/progress.tsx';
import { Notice } from '../parts/states.tsx';
import { showToast } from '../parts/toasts.tsx';
import { contentPath, useIsUncovered, VideoTile } from '../parts/video-tile.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { cancelVideo, isUnfinished, type LiveVideo, live } from '../state/live.ts';
import { askToNotify, notifying } from '../state/notify.ts';
import { useStore } from '../state/store.ts';
import { phaseOf } from './phase.ts';

/** Beside all that are unfinished. */
const finishedShown = 8;

export function Live() {
  const say = useSay();
  const videos = useStore(live);
  const finished = videos?.filter(({ video }) => !isUnfinished(video)).slice(0, finishedShown) ?? [];
  const shown = videos?.filter((one) => isUnfinished(one.video) || finished.includes(one));
  return (
    <section class="live" aria-labelledby="live-title">
      <div class="live-head">
        <h2 id="live-title">{say.live.title}</h2>
        <NotifyButton />
      </div>
      {shown === undefined ? (
        <ul class="live-list" aria-hidden="true">
          <li class="job job-ghost" />
          <li class="job job-ghost" />
        </ul>
      ) : shown.length === 0 ? (
        <div class="live-empty">
          <Notice icon="play" title={say.live.empty} hint={say.live.emptyHint} />
        </div>
      ) : (
        <>
          <ul class="live-list">
            {shown.map((one) => (
              <li key={one.video.id} class="job">
                {isUnfinished(one.video) ? <Running {...one} /> : <Finished video={one.video} />}
              </li>
            ))}
          </ul>
          <p class="live-all">
            <a href="/library">{say.live.all}</a>
          </p>
        </>
      )}
    </section>
  );
}

function NotifyButton() {
  const say = useSay();
  const state = useStore(notifying);
  if (state === 'unavailable') return null;
  return (
    <Button
      kind="quiet"
      isSmall
      icon={state === 'on' ? 'check' : 'bell'}
      isPressed={state === 'on'}
      onClick={async () => {
        if ((await askToNotify()) === 'blocked') showToast(say.live.notifyBlocked, 'error');
      }}
    >
      {state === 'on' ? say.live.notifying : say.live.notify}
    </Button>
  );
}

/** A video on its way, and what ends it. */
export function Running({ video, heardAt, isStopping }: LiveVideo) {
  const say = useSay();
  const left = useSecondsLeft(video.seconds_left, heardAt);
  const name = video.prompt || say.clips.noPrompt;
  const cancel = async (): Promise<void> => {
    try {
      await cancelVideo(video.id);
    } catch (error) {
      showToast(sayError(error, say), 'error');
    }
  };
  return (
    <article class="job-running" aria-label={name}>
      <div class="job-head">
        <p class="job-prompt">{name}</p>
        <Button isSmall icon="close" isBusy={isStopping} onClick={() => void cancel()}>
          {isStopping ? say.status.cancelling : say.buttons.cancel}
        </Button>
      </div>
      <Progress label={say.live.progressOf(name)} percent={percentOf(video)} />
      <div class="job-foot numbers">
        <span aria-live="polite">{phaseOf(video, say)}</span>
        <span class="hint">{left === undefined ? '' : say.status.left(left * 1000)}</span>
      </div>
    </article>
  );
}

/** While nothing is counted yet, the bar moves without an end. */
function percentOf({ status, phase, progress }: Video): number | undefined {
  if (status === 'queued' && phase === null) return 0;
  return progress === 0 && phase !== 'denoising' ? undefined : progress;
}

/** Counts down from what was heard last. */
function useSecondsLeft(seconds: number | null, heardAt: number): number | undefined {
  const [, tick] = useState(0);
  useEffect(() => {
    if (seconds === null) return;
    const timer = setInterval(() => tick((count) => count + 1), 1_000);
    return () => clearInterval(timer);
  }, [seconds === null]);
  if (seconds === null) return undefined;
  return Math.max(1, Math.round(seconds - (performance.now() - heardAt) / 1000));
}

function Finished({ video }: { video: Video }) {
  const say = useSay();
  const [isPlaying, setPlaying] = useState(false);
  const isUncovered = useIsUncovered(video.id);
  const isCovered = video.spoiler && !isUncovered;
  const name = isCovered ? say.clips.covered : video.prompt || say.clips.noPrompt;
  const path = `/library/${encodeURIComponent(video.id)}`;
  if (video.status === 'failed') {
    const isCancelled = video.error?.code === 'CANCELLED';
    return (
      <article class="job-failed" aria-label={name}>
        <p class="job-prompt">{name}</p>
        <p class={isCancelled ? 'hint' : 'field-error'}>{video.error?.message}</p>
        <ButtonLink isSmall icon="sliders" href={`/?from=${encodeURIComponent(video.id)}`}>
          {say.live.again}
        </ButtonLink>
      </article>
    );
  }
  if (!video.variants.includes('video')) {
    return (
      <article class="job-failed" aria-label={name}>
        <a class="job-prompt" href={path}>
          {name}
        </a>
        <p class="hint">{say.library.expired}</p>
      </article>
    );
  }
  return (
    <article class="job-done" aria-label={name}>
      <div class="job-clip">
        <VideoTile
          id={video.id}
          label={isPlaying ? name : ''}
          size={video.size}
          isPlaying={isPlaying}
          isCovered={video.spoiler}
        />
        {isPlaying || isCovered ? null : (
          <button
            type="button"
            class="play"
            aria-label={`${say.live.play}: ${name}`}
            onClick={() => setPlaying(true)}
          >
            <span>
              <Icon name="play" />
            </span>
          </button>
        )}
      </div>
      <div class="job-foot">
        <a class="job-prompt" href={path}>
          {name}
        </a>
        <span class="job-actions">
          <IconLink icon="remix" label={say.buttons.remix} href={`/?from=${encodeURIComponent(video.id)}`} />
          <IconLink icon="download" label={say.live.download} href={contentPath(video.id)} download="" />
        </span>
      </div>
      {video.understood && !isCovered ? (
        <p class="hint job-understood">{understoodLine(video.understood, say.motions)}</p>
      ) : null}
    </article>
  );
}
