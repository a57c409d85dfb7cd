/** All clips of a person, of every surface: searched, filtered, and played while they are looked at. */
import './library.css';
import { useEffect, useId, useMemo, useRef, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import type { CreateBody } from '../api/types.ts';
import { Button, ButtonLink, IconButton } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { Screen } from '../parts/screen.tsx';
import { Message, Notice } from '../parts/states.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { type LiveVideo, live } from '../state/live.ts';
import { useStore } from '../state/store.ts';
import { pagePath } from './clip-calls.ts';
import { type ClipList, clipListOf, type Filter, type ListState } from './clip-list.ts';
import { Tile } from './tile.tsx';

const presets = ['fast', 'standard', 'high', 'creative'] as const satisfies readonly CreateBody['preset'][];
const searchAfterMs = 300;
const firstSkeletons = 12;
/** Nearer to the top than this, new clips are shown at once. */
const topPixels = 120;
const aheadOfEnd = '800px';

function filterOf(query: Readonly<Record<string, string>>): Filter {
  const { q = '', preset = '', model = '', favourites } = query;
  return { search: q, preset, model, isFavourites: favourites === '1' };
}

function addressOf({ search, preset, model, isFavourites }: Filter): string {
  const query = new URLSearchParams();
  if (search.trim()) query.set('q', search.trim());
  if (preset) query.set('preset', preset);
  if (model) query.set('model', model);
  if (isFavourites) query.set('favourites', '1');
  return query.size > 0 ? `/library?${query}` : '/library';
}

const isFiltered = (filter: Filter): boolean => addressOf(filter) !== '/library';

export default function Library() {
  const say = useSay();
  const { query, route } = useLocation();
  const filter = filterOf(query);
  const list = useMemo(() => clipListOf(filter), [addressOf(filter)]);
  const state = useStore(list.state);
  const isBack = useRef(state.kind === 'ready' && list.openedId !== undefined);
  useEffect(() => {
    if (list.state.get().kind === 'ready') void list.refresh(scrollY < topPixels);
    else void list.load();
  }, [list]);
  useScrollPlace(list, isBack.current);
  useRefresh(list);
  const change = (changes: Partial<Filter>): void => route(addressOf({ ...filter, ...changes }), true);
  return (
    <Screen
      title={say.library.title}
      isWide
      actions={<Filters filter={filter} list={list} onChange={change} />}
    >
      <Content
        filter={filter}
        list={list}
        state={state}
        onClear={() => change({ search: '', preset: '', model: '', isFavourites: false })}
      />
    </Screen>
  );
}

function focusTile(id: string | undefined, options?: FocusOptions): void {
  if (id !== undefined)
    document.querySelector<HTMLElement>(`.clip-link[href="${pagePath(id)}"]`)?.focus(options);
}

/** Goes to where the list was scrolled to when one comes back to it from a clip. */
function useScrollPlace(list: ClipList, isBack: boolean): void {
  useEffect(() => {
    if (isBack && list.openedId !== undefined) {
      scrollTo(0, list.scrolledTo);
      focusTile(list.openedId, { preventScroll: true });
    }
    list.openedId = undefined;
  }, [list]);
}

/** Looks at the newest clips again when one of the videos that are followed has come or has ended. */
function useRefresh(list: ClipList): void {
  useEffect(() => {
    const stateOf = ({ video: { id, status } }: LiveVideo): string => `${id} ${status}`;
    const now = (): string | undefined => live.get()?.map(stateOf).join();
    let seen = now();
    return live.subscribe(() => {
      if (now() === seen) return;
      seen = now();
      void list.refresh(scrollY < topPixels);
    });
  }, [list]);
}

interface FiltersProps {
  readonly filter: Filter;
  readonly list: ClipList;
  readonly onChange: (changes: Partial<Filter>) => void;
}

function Filters({ filter, list, onChange }: FiltersProps) {
  const say = useSay();
  const state = useStore(list.state);
  const shown = state.kind === 'ready' ? state.clips : [];
  const models = [...new Set([...shown.map(({ model }) => model), filter.model])].filter(Boolean).sort();
  return (
    <search class="clip-filters">
      <SearchField value={filter.search} onChange={(search) => onChange({ search })} />
      <Choice
        label={say.library.preset}
        any={say.library.anyPreset}
        values={presets}
        value={filter.preset}
        onChange={(preset) => onChange({ preset })}
      />
      {models.length > 1 || filter.model ? (
        <Choice
          label={say.library.model}
          any={say.library.anyModel}
          values={models}
          value={filter.model}
          onChange={(model) => onChange({ model })}
        />
      ) : null}
      <Button
        icon="star"
        isPressed={filter.isFavourites}
        onClick={() => onChange({ isFavourites: !filter.isFavourites })}
      >
        {say.library.favourites}
      </Button>
    </search>
  );
}

function SearchField({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const say = useSay();
  const [text, setText] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const field = useRef<HTMLInputElement>(null);
  // The address may change by other ways: going back, or clearing all filters.
  useEffect(() => {
    if (value !== text.trim()) setText(value);
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (next: string, afterMs = searchAfterMs): void => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(next), afterMs);
  };
  return (
    <div class="clip-search">
      <Icon name="search" />
      <input
        ref={field}
        class="input"
        type="search"
        name="q"
        autocomplete="off"
        maxLength={300}
        aria-label={say.library.search}
        placeholder={say.library.search}
        value={text}
        onInput={({ currentTarget }) => type(currentTarget.value)}
        onKeyDown={({ key, isComposing }) => {
          if (key === 'Enter' && !isComposing) type(text, 0);
        }}
      />
      {text ? (
        <IconButton
          icon="close"
          label={say.library.searchClear}
          onClick={() => {
            type('', 0);
            field.current?.focus();
          }}
        />
      ) : null}
    </div>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly any: string;
  readonly values: readonly string[];
  readonly value: string;
  readonly onChange: (value: string) => void;
}

function Choice({ label, any, values, value, onChange }: ChoiceProps) {
  const id = useId();
  const all = value && !values.includes(value) ? [...values, value] : values;
  return (
    <div class="clip-choice">
      <label class="hidden" for={id}>
        {label}
      </label>
      <select
        id={id}
        class={value ? 'input clip-chosen' : 'input'}
        value={value}
        onChange={({ currentTarget }) => onChange(currentTarget.value)}
      >
        <option value="">{any}</option>
        {all.map((one) => (
          <option key={one} value={one}>
            {one}
          </option>
        ))}
      </select>
      <Icon name="chevron" />
    </div>
  );
}

interface ContentProps {
  readonly filter: Filter;
  readonly list: ClipList;
  readonly state: ListState;
  readonly onClear: () => void;
}

function Content({ filter, list, state, onClear }: ContentProps) {
  const say = useSay();
  if (state.kind === 'loading') return <Skeletons />;
  if (state.kind === 'failed') {
    return (
      <Notice icon="warning" title={say.library.failed} hint={sayError(state.error, say)}>
        <Button kind="primary" onClick={() => void list.load()}>
          {say.shell.retry}
        </Button>
      </Notice>
    );
  }
  const { clips, fresh, next } = state;
  if (clips.length === 0 && fresh.length === 0 && next === null)
    return <Empty filter={filter} onClear={onClear} />;
  return (
    <>
      {fresh.length > 0 ? (
        <div class="clip-fresh">
          <Button
            kind="primary"
            isSmall
            onClick={() => {
              list.showFresh();
              scrollTo({ top: 0, behavior: 'instant' });
            }}
          >
            {say.library.fresh(fresh.length)}
          </Button>
        </div>
      ) : null}
      <ul class="clip-grid">
        {clips.map((clip) => (
          <Tile key={clip.id} clip={clip} />
        ))}
      </ul>
      <End list={list} state={state} />
    </>
  );
}

function Empty({ filter, onClear }: Pick<ContentProps, 'filter' | 'onClear'>) {
  const { library, shell } = useSay();
  const onlyFavourites = filter.isFavourites && addressOf({ ...filter, isFavourites: false }) === '/library';
  if (!isFiltered(filter)) {
    return (
      <Notice icon="library" title={library.empty} hint={library.emptyHint}>
        <ButtonLink kind="primary" icon="create" href="/">
          {shell.toCreate}
        </ButtonLink>
      </Notice>
    );
  }
  const [title, hint] = onlyFavourites
    ? [library.noFavourites, library.noFavouritesHint]
    : [library.noMatch, library.noMatchHint];
  return (
    <Notice icon={onlyFavourites ? 'star' : 'search'} title={title} hint={hint}>
      <Button onClick={onClear}>{library.clear}</Button>
    </Notice>
  );
}

/** The end of what is shown: it fetches more when it comes near, and is a button for those who do not scroll. */
function End({ list, state }: { list: ClipList; state: Extract<ListState, { kind: 'ready' }> }) {
  const say = useSay();
  const element = useRef<HTMLDivElement>(null);
  const { clips, next, moreError } = state;
  const [isPressed, setPressed] = useState(false);
  useEffect(() => {
    const target = element.current;
    if (!target || next === null || moreError !== undefined) return undefined;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some(({ isIntersecting }) => isIntersecting)) void list.loadMore();
      },
      { rootMargin: aheadOfEnd },
    );
    observer.observe(target);
    return () => observer.disconnect();
    // Again after each page: the end may still be in view.
  }, [list, next, moreError]);
  // A keyboard goes on at the first of those that came.
  const showMore = async (): Promise<void> => {
    setPressed(true);
    await list.loadMore();
    setPressed(false);
    const now = list.state.get();
    if (now.kind === 'ready') requestAnimationFrame(() => focusTile(now.clips[clips.length]?.id));
  };
  return (
    <div ref={element} class="clip-end">
      {moreError === undefined ? null : <Message kind="error">{sayError(moreError, say)}</Message>}
      {next === null ? (
        <p role="status">{say.library.end(clips.length)}</p>
      ) : (
        <>
          <p class={clips.length > 0 ? 'hidden' : ''} role="status">
            {clips.length > 0 ? say.library.loaded(clips.length) : say.library.searching}
          </p>
          <Button isBusy={isPressed} onClick={() => void showMore()}>
            {moreError === undefined ? say.library.more : say.shell.retry}
          </Button>
        </>
      )}
    </div>
  );
}

/** The places of clips that are being fetched. */
function Skeletons() {
  const say = useSay();
  const shapes = [1.33, 1.78, 0.8, 1.33, 1, 1.78, 1.33, 1.5, 0.75, 1.78, 1.33, 1];
  return (
    <div role="status">
      <span class="hidden">{say.shell.loading}</span>
      <div class="clip-grid" aria-hidden="true">
        {Array.from({ length: firstSkeletons }, (_, i) => (
          <div key={i} class="clip-tile clip-skeleton" style={{ '--ratio': shapes[i % shapes.length] }}>
            <div class="clip-picture" />
            <div class="clip-skeleton-prompt" />
            <div class="clip-skeleton-meta" />
          </div>
        ))}
      </div>
    </div>
  );
}
