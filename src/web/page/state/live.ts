/**
 * The person's latest videos and how they come along. The server's list is the truth, asked for again and again; a
 * stream of events for those that are made makes their bars move. Nothing is kept here, so a reload loses nothing.
 */
import { ApiError, call, connection } from '../api/client.ts';
import { followEvents } from '../api/events.ts';
import type { ServerEvent } from '../api/read-event.ts';
import type { Video, VideoList } from '../api/types.ts';
import { session } from './session.ts';
import { createStore } from './store.ts';

export interface LiveVideo {
  readonly video: Video;
  /** performance.now() when this was heard: seconds_left counts from there. */
  readonly heardAt: number;
  /** Cancelling was asked for here. */
  readonly isStopping: boolean;
}

/** Newest first; undefined until the first answer. */
export const live = createStore<readonly LiveVideo[] | undefined>(undefined);

/** Called with each video that ends while the page is open. */
type Listener = (video: Video) => void;
const endListeners = new Set<Listener>();
export function onVideoEnd(listener: Listener): () => void {
  endListeners.add(listener);
  return () => endListeners.delete(listener);
}

const listed = 24;
/** Browsers open six connections to a server over HTTP/1.1, for all tabs together. */
const streamsAtOnce = 2;
const askEveryMs = { unfinished: 4_000, hidden: 15_000, idle: 30_000 } as const;

export const isUnfinished = ({ status }: Video): boolean => status === 'queued' || status === 'in_progress';

/** Follows the videos of whoever is signed in, for as long as the page is open. */
export function followLive(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let user: string | undefined;
  const ask = async (): Promise<void> => {
    clearTimeout(timer);
    if (user === undefined) return;
    await askForList().catch(() => {});
    clearTimeout(timer);
    timer = setTimeout(() => void ask(), pauseMs());
  };
  const begin = (): void => {
    const now = session.get();
    const next = now.kind === 'signed-in' ? now.me.user : undefined;
    if (next === user) return;
    user = next;
    live.set(undefined);
    stopStreams();
    void ask();
  };
  session.subscribe(begin);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) stopStreams();
    else void ask();
  });
  connection.subscribe(() => {
    if (connection.get() === 'fine') void ask();
  });
  live.subscribe(openStreams);
  begin();
}

function pauseMs(): number {
  const isAnyUnfinished = live.get()?.some(({ video }) => isUnfinished(video)) ?? true;
  if (!isAnyUnfinished) return askEveryMs.idle;
  return document.hidden ? askEveryMs.hidden : askEveryMs.unfinished;
}

async function askForList(): Promise<void> {
  const { data } = await call<VideoList>(`/v1/videos?limit=${listed}`);
  const before = new Map(live.get()?.map((known) => [known.video.id, known]));
  merge(
    data.map((video) => {
      const known = before.get(video.id);
      // A stream is ahead of the list, but for the end.
      const isAhead = known && streams.has(video.id) && isUnfinished(video);
      return isAhead ? known : heard(video, known);
    }),
  );
}

const heard = (video: Video, known?: LiveVideo): LiveVideo => ({
  video,
  heardAt: performance.now(),
  isStopping: known?.isStopping ?? false,
});

function merge(videos: readonly LiveVideo[]): void {
  const before = live.get();
  live.set(videos);
  if (!before) return;
  const wasUnfinished = new Set(
    before.filter(({ video }) => isUnfinished(video)).map(({ video }) => video.id),
  );
  for (const { video } of videos) {
    if (wasUnfinished.has(video.id) && !isUnfinished(video)) for (const tell of endListeners) tell(video);
  }
}

/** Shows a video that was accepted, or has changed, at once. */
export function showVideo(video: Video): void {
  const others = live.get() ?? [];
  const at = others.findIndex((known) => known.video.id === video.id);
  merge(at < 0 ? [heard(video), ...others] : others.with(at, heard(video, others[at])));
}

/** Shows a video that was deleted no more. */
export function dropVideo(id: string): void {
  const known = live.get();
  live.set(known?.filter(({ video }) => video.id !== id));
}

/** @throws ApiError */
export async function cancelVideo(id: string): Promise<void> {
  markStopping(id, true);
  try {
    showVideo(await call<Video>(`/v1/videos/${encodeURIComponent(id)}/cancel`, { method: 'POST' }));
  } catch (error) {
    markStopping(id, false);
    // It was over before.
    if (error instanceof ApiError && error.status === 409) return await askForList();
    throw error;
  }
}

function markStopping(id: string, isStopping: boolean): void {
  const known = live.get();
  live.set(known?.map((one) => (one.video.id === id ? { ...one, isStopping } : one)));
}

const streams = new Map<string, AbortController>();

function stopStreams(): void {
  for (const stream of streams.values()) stream.abort();
  streams.clear();
}

function openStreams(): void {
  const unfinished = (live.get() ?? []).filter(({ video }) => isUnfinished(video));
  const ids = new Set(unfinished.map(({ video }) => video.id));
  for (const [id, stream] of streams) {
    if (ids.has(id)) continue;
    stream.abort();
    streams.delete(id);
  }
  if (document.hidden) return;
  // What is made, then what is made next.
  const place = ({ video }: LiveVideo): number =>
    video.status === 'in_progress' ? -1 : (video.queue_position ?? 0);
  for (const { video } of unfinished.toSorted((a, b) => place(a) - place(b))) {
    if (streams.size >= streamsAtOnce) return;
    if (!streams.has(video.id)) follow(video.id);
  }
}

function follow(id: string): void {
  const stream = new AbortController();
  streams.set(id, stream);
  const path = `/v1/videos/${encodeURIComponent(id)}/events`;
  void followEvents(
    path,
    (event) => hear(id, event),
    ({ name }) => name === 'done',
    stream.signal,
  )
    .catch(() => {})
    .finally(() => {
      if (streams.get(id) === stream) streams.delete(id);
    });
}

function hear(id: string, { name, data }: ServerEvent): void {
  const known = live.get()?.find(({ video }) => video.id === id);
  if (!known) return;
  // The server's own schemas made the data: a whole video at the end, some of its fields before.
  showVideo(name === 'done' ? (data as Video) : withProgress(known.video, name, data as Partial<Video>));
}

/** Shares of the bar, as the server counts them in `progress`. */
const denoisingEnds = 90;
const decodingEnds = 99;

function withProgress(video: Video, name: string, data: Partial<Video>): Video {
  const { step = null, steps = null } = data;
  const done = step !== null && steps ? Math.min(1, step / steps) : 0;
  switch (name) {
    case 'position':
      return { ...video, ...data, phase: null, step: null, steps: null };
    case 'step':
      return {
        ...video,
        ...data,
        ...running,
        phase: 'denoising',
        progress: Math.floor(denoisingEnds * done),
      };
    case 'decoding': {
      const progress = Math.floor(denoisingEnds + (decodingEnds - denoisingEnds) * done);
      return { ...video, ...data, ...running, phase: 'decoding', progress };
    }
    case 'phase':
      return { ...video, ...data, queue_position: null, waits_for_model: false, step: null, steps: null };
    default:
      return video;
  }
}

const running = { status: 'in_progress', queue_position: null, waits_for_model: false } as const;
