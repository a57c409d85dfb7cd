/**
 * The list that the library shows, page by page. The latest one is remembered while another screen is shown, so that
 * coming back finds everything where it was.
 */
import { call } from '../api/client.ts';
import type { Video, VideoList } from '../api/types.ts';
import { createStore, type Store } from '../state/store.ts';

export interface Filter {
  readonly search: string;
  readonly preset: string;
  readonly model: string;
  readonly isFavourites: boolean;
}

export type ListState =
  | { readonly kind: 'loading' }
  | { readonly kind: 'failed'; readonly error: unknown }
  | {
      readonly kind: 'ready';
      readonly clips: readonly Video[];
      /** Newer ones, which are shown when somebody asks: what is looked at stays in its place. */
      readonly fresh: readonly Video[];
      /** Where the next page begins; null at the end. */
      readonly next: string | null;
      readonly moreError: unknown;
    };
type Ready = Extract<ListState, { kind: 'ready' }>;

const pageSize = 40;

const queryOf = ({ search, preset, model, isFavourites }: Filter, after?: string): string => {
  const query = new URLSearchParams({ limit: String(pageSize) });
  if (search.trim()) query.set('search', search.trim());
  if (preset) query.set('preset', preset);
  if (model) query.set('model', model);
  if (isFavourites) query.set('favourite', 'true');
  if (after) query.set('after', after);
  return `/v1/videos?${query}`;
};

export class ClipList {
  readonly filter: Filter;
  readonly state: Store<ListState> = createStore<ListState>({ kind: 'loading' });
  /** Where its screen was scrolled to when a clip was opened there, and which one was shown last. */
  scrolledTo = 0;
  openedId: string | undefined;
  #loadingMore: Promise<void> | undefined;

  constructor(filter: Filter) {
    this.filter = filter;
  }

  async load(): Promise<void> {
    if (this.state.get().kind !== 'ready') this.state.set({ kind: 'loading' });
    try {
      const { data, next_after } = await this.#page();
      this.state.set({
        ...{ kind: 'ready', clips: data, fresh: [], next: next_after },
        moreError: undefined,
      });
    } catch (error) {
      if (this.state.get().kind !== 'ready') this.state.set({ kind: 'failed', error });
    }
  }

  /** Whoever asks while a page is on its way waits for the same. */
  loadMore(): Promise<void> {
    this.#loadingMore ??= this.#loadMore().finally(() => {
      this.#loadingMore = undefined;
    });
    return this.#loadingMore;
  }

  async #loadMore(): Promise<void> {
    const before = this.state.get();
    if (before.kind !== 'ready' || before.next === null) return;
    this.state.set({ ...before, moreError: undefined });
    try {
      const { data, next_after } = await this.#page(before.next);
      this.#change((now) => {
        const known = new Set(now.clips.map(({ id }) => id));
        const clips = [...now.clips, ...data.filter(({ id }) => !known.has(id))];
        return { ...now, clips, next: next_after };
      });
    } catch (moreError) {
      this.#change((now) => ({ ...now, moreError }));
    }
  }

  /** Looks at the newest page again: what has changed there is shown, and what is gone is taken away. */
  async refresh(isAtTop: boolean): Promise<void> {
    const head = await this.#page().catch(() => undefined);
    if (!head) return;
    this.#change((now) => {
      const latest = new Map(head.data.map((clip) => [clip.id, clip]));
      const known = new Set(now.clips.map(({ id }) => id));
      const added = head.data.filter(({ id }) => !known.has(id));
      // Without a further page, the head is all that there is.
      const oldest =
        head.next_after === null ? Number.NEGATIVE_INFINITY : (head.data.at(-1)?.created_at ?? 0);
      const kept = now.clips
        .filter(({ id, created_at }) => latest.has(id) || created_at <= oldest)
        .map((clip) => latest.get(clip.id) ?? clip);
      const isShort = now.clips.length < pageSize;
      return isAtTop || isShort
        ? { ...now, clips: [...added, ...kept], fresh: [] }
        : { ...now, clips: kept, fresh: added };
    });
  }

  showFresh(): void {
    this.#change((now) => ({ ...now, clips: [...now.fresh, ...now.clips], fresh: [] }));
  }

  /** Shows a clip as it is now. */
  update(clip: Video): void {
    this.#change((now) => ({ ...now, clips: now.clips.map((one) => (one.id === clip.id ? clip : one)) }));
  }

  remove(id: string): void {
    this.#change((now) => ({ ...now, clips: now.clips.filter((clip) => clip.id !== id) }));
  }

  #change(next: (now: Ready) => Ready): void {
    const now = this.state.get();
    if (now.kind === 'ready') this.state.set(next(now));
  }

  #page(after?: string): Promise<VideoList> {
    return call<VideoList>(queryOf(this.filter, after));
  }
}

let latest: ClipList | undefined;

/** The list of a filter: the latest one, when it is the same. */
export function clipListOf(filter: Filter): ClipList {
  if (!latest || queryOf(latest.filter) !== queryOf(filter)) latest = new ClipList(filter);
  return latest;
}

/** For screens of one clip, which change what the list shows. */
export const latestClipList = (): ClipList | undefined => latest;
