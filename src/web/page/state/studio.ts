/** What the loaded model takes, what it costs and how long it takes now: asked for while a screen shows it. */
import { useEffect } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { Studio } from '../api/types.ts';
import { createStore, useStore } from './store.ts';

/** Undefined until the first answer. */
export const studio = createStore<Studio | undefined>(undefined);

const askEveryMs = { known: 12_000, unknown: 3_000 } as const;

/** Of a model; of the default where there is no such model. */
async function askFor(model: string | undefined, signal: AbortSignal): Promise<Studio> {
  const ofDefault = () => call<Studio>('/v1/studio', { signal });
  if (model === undefined) return await ofDefault();
  return await call<Studio>(`/v1/studio?model=${encodeURIComponent(model)}`, { signal }).catch(ofDefault);
}

/**
 * Times and the queue's mode change; the rest stays what it was, so nothing that is shown moves.
 * @param model whose; undefined for the default one
 */
export function useStudio(model?: string): Studio | undefined {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    const stop = new AbortController();
    const ask = async (): Promise<void> => {
      if (!document.hidden) {
        const { signal } = stop;
        const now = await askFor(model, signal).catch(() => undefined);
        if (signal.aborted) return;
        if (now) studio.set(now);
      }
      timer = setTimeout(() => void ask(), studio.get() ? askEveryMs.known : askEveryMs.unknown);
    };
    void ask();
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [model]);
  return useStore(studio);
}
