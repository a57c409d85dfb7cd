/** What the server says, asked again and again while somebody looks. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { call } from '../api/client.ts';

export interface Polled<T> {
  /** The latest answer; what was shown stays while the server is away. */
  readonly data: T | undefined;
  /** Of the latest call, where it failed. */
  readonly error: unknown;
  /** Asks at once. */
  readonly refresh: () => void;
}

/** @param everyMs pause between an answer and the next call; absent: asked once */
export function usePolled<T>(path: string, everyMs?: number): Polled<T> {
  const [state, setState] = useState<Omit<Polled<T>, 'refresh'>>({ data: undefined, error: undefined });
  const askNow = useRef(() => {});
  useEffect(() => {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let latest = 0;
    const ask = async (): Promise<void> => {
      clearTimeout(timer);
      latest += 1;
      const asked = latest;
      // A later call, begun while this one was under way, has the word.
      const isOver = (): boolean => controller.signal.aborted || asked !== latest;
      try {
        const data = await call<T>(path, { signal: controller.signal });
        if (isOver()) return;
        setState({ data, error: undefined });
      } catch (error) {
        if (isOver()) return;
        setState(({ data }) => ({ data, error }));
      }
      if (everyMs !== undefined) {
        timer = setTimeout(() => (document.hidden ? undefined : void ask()), everyMs);
      }
    };
    const onShown = (): void => {
      if (!document.hidden && everyMs !== undefined) void ask();
    };
    askNow.current = () => void ask();
    document.addEventListener('visibilitychange', onShown);
    void ask();
    return () => {
      controller.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', onShown);
    };
  }, [path, everyMs]);
  const refresh = useCallback(() => askNow.current(), []);
  return { ...state, refresh };
}
