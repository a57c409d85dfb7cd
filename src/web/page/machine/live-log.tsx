/** What all processes log, as it is logged. */
import './live-log.css';
import { useEffect, useRef, useState } from 'preact/hooks';
import { followEvents } from '../api/events.ts';
import type { LogLine } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { copyText } from '../parts/copy.tsx';
import { Field } from '../parts/field.tsx';
import { useSay } from '../sentences/say.ts';

const levels = ['debug', 'info', 'warn', 'error'] as const;
const processes = ['bot', 'worker', 'engine', 'kinora'] as const;
const mostShown = 1_000;
/** Lines that come together are shown together. */
const showEveryMs = 200;
const filterAfterMs = 400;
/** So near to its end the list counts as being there. */
const endPixels = 24;

type Shown =
  | (LogLine & { readonly kind: 'line'; readonly key: number })
  | { readonly kind: 'gap'; readonly key: number };

interface Filter {
  readonly level: (typeof levels)[number];
  readonly part: string;
  readonly text: string;
}

function pathOf({ level, part, text }: Filter): string {
  const query = new URLSearchParams({ level });
  if (part) query.set('part', part);
  if (text.trim()) query.set('text', text.trim());
  return `/v1/admin/log?${query}`;
}

export function LiveLog() {
  const { machine } = useSay();
  const { log: words } = machine;
  const [filter, setFilter] = useState<Filter>({ level: 'info', part: '', text: '' });
  const [isPaused, setPaused] = useState(false);
  const path = useSettled(pathOf(filter));
  const { lines, held, clear } = useLines(path, isPaused);
  const text = (): string => lines.map(textOf).join('\n');
  return (
    <section class="card log-card" aria-label={words.title}>
      <div class="log-controls">
        <Choice
          label={words.level}
          value={filter.level}
          options={levels.map((level) => [level, words.levels[level]])}
          onChange={(level) =>
            setFilter({ ...filter, level: levels.find((name) => name === level) ?? 'info' })
          }
        />
        <Choice
          label={words.part}
          value={filter.part}
          options={[['', words.allParts], ...processes.map((name) => [name, words.parts[name]] as const)]}
          onChange={(part) => setFilter({ ...filter, part })}
        />
        <Field label={words.text}>
          {(field) => (
            <input
              {...field}
              class="input"
              type="search"
              maxLength={100}
              value={filter.text}
              onInput={({ currentTarget }) => setFilter({ ...filter, text: currentTarget.value })}
            />
          )}
        </Field>
        <div class="log-buttons">
          <Button icon={isPaused ? 'play' : 'pause'} onClick={() => setPaused(!isPaused)}>
            {isPaused ? words.goOn(held) : words.pause}
          </Button>
          <Button icon="copy" onClick={() => void copyText(text(), words.lines(lines.length))}>
            {words.copy}
          </Button>
          <Button icon="trash" onClick={clear}>
            {words.clear}
          </Button>
        </div>
      </div>
      <Lines lines={lines} isPaused={isPaused} />
      <p class="hint" role="status">
        {isPaused ? words.paused(held) : words.lines(lines.length)}
      </p>
    </section>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly (readonly [value: string, label: string])[];
  readonly onChange: (value: string) => void;
}

function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <Field label={label}>
      {(field) => (
        <select
          {...field}
          class="input"
          value={value}
          onChange={({ currentTarget }) => onChange(currentTarget.value)}
        >
          {options.map(([name, text]) => (
            <option key={name} value={name}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** A value that has been the same for a moment: a filter is applied when its text has been written. */
function useSettled(value: string): string {
  const [settled, settle] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => settle(value), filterAfterMs);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

/** The lines of a stream; while it is paused, those that come are held back and counted. */
function useLines(path: string, isPaused: boolean) {
  const [lines, setLines] = useState<readonly Shown[]>([]);
  const [held, setHeld] = useState(0);
  const waiting = useRef<Shown[]>([]);
  const paused = useRef(isPaused);
  const count = useRef(0);
  paused.current = isPaused;
  useEffect(() => {
    const controller = new AbortController();
    waiting.current = [];
    setLines([]);
    setHeld(0);
    const onEvent = ({ name, data }: { name: string; data: unknown }): void => {
      const key = count.current++;
      // As the server's schema says.
      if (name === 'line') waiting.current.push({ kind: 'line', key, ...(data as LogLine) });
      if (name === 'gap') waiting.current.push({ kind: 'gap', key });
      if (waiting.current.length > mostShown) waiting.current.shift();
    };
    const timer = setInterval(() => {
      if (paused.current) return setHeld(waiting.current.length);
      const fresh = waiting.current;
      if (fresh.length === 0) return;
      waiting.current = [];
      setHeld(0);
      setLines((shown) => [...shown, ...fresh].slice(-mostShown));
    }, showEveryMs);
    void followEvents(path, onEvent, () => false, controller.signal);
    return () => {
      controller.abort();
      clearInterval(timer);
    };
  }, [path]);
  return { lines, held, clear: () => setLines([]) };
}

function Lines({ lines, isPaused }: { lines: readonly Shown[]; isPaused: boolean }) {
  const { machine } = useSay();
  const { log: words } = machine;
  const box = useRef<HTMLDivElement>(null);
  const [isFollowing, setFollowing] = useState(true);
  const toEnd = (): void => {
    const { current } = box;
    if (current) current.scrollTop = current.scrollHeight;
  };
  useEffect(() => {
    if (isFollowing) toEnd();
  }, [lines, isFollowing]);
  const onScroll = (): void => {
    const { current } = box;
    if (!current) return;
    setFollowing(current.scrollHeight - current.scrollTop - current.clientHeight < endPixels);
  };
  return (
    <div class="log-frame">
      {/* Read by moving into it: read aloud as it comes, it would drown everything else. */}
      <div
        class="log-lines"
        role="log"
        aria-live="off"
        aria-label={words.title}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be scrolled by the keyboard, too
        tabIndex={0}
        ref={box}
        onScroll={onScroll}
      >
        {lines.length === 0 ? <p class="hint log-empty">{isPaused ? words.cleared : words.none}</p> : null}
        {lines.map((line) =>
          line.kind === 'gap' ? (
            <p key={line.key} class="log-gap">
              {words.gap}
            </p>
          ) : (
            <p key={line.key} class={`log-line log-${line.level}`}>
              <time dateTime={line.at}>{timeOf(line)}</time>{' '}
              <span class="log-level">{words.levels[line.level]}</span>{' '}
              <span class="log-part">{line.part}</span> <span class="log-text">{line.text}</span>{' '}
              <span class="log-details">{detailsOf(line)}</span>
            </p>
          ),
        )}
      </div>
      {isFollowing || lines.length === 0 ? null : (
        <div class="log-to-end">
          <Button isSmall kind="primary" icon="chevron" onClick={() => setFollowing(true)}>
            {words.toEnd}
          </Button>
        </div>
      )}
    </div>
  );
}

const timeOf = ({ at }: LogLine): string => {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
};

function detailsOf({ details }: LogLine): string {
  return Object.entries(details)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value, rounded)}`)
    .join(' ');
}

/** Of times in milliseconds, more digits say nothing. */
const rounded = (_name: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isInteger(value) ? Math.round(value * 10) / 10 : value;

/** As it is copied. */
function textOf(line: Shown): string {
  if (line.kind === 'gap') return '…';
  return [line.at, line.level, line.part, line.text, detailsOf(line)].filter(Boolean).join(' ');
}
