/** What one does by a button: one thing at a time, with its success or its refusal told. */
import { useState } from 'preact/hooks';
import { showToast } from '../parts/toasts.tsx';
import { sayError, sayNow } from '../sentences/say.ts';

export interface Acting {
  readonly isBusy: boolean;
  /** @returns whether it was done */
  readonly run: (work: () => Promise<string | undefined>) => Promise<boolean>;
}

/** `work` resolves with the sentence that tells of its success, if there is one. */
export function useActing(): Acting {
  const [isBusy, setBusy] = useState(false);
  const run = async (work: () => Promise<string | undefined>): Promise<boolean> => {
    if (isBusy) return false;
    setBusy(true);
    try {
      const told = await work();
      if (told !== undefined) showToast(told);
      return true;
    } catch (error) {
      showToast(sayError(error, sayNow()), 'error');
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { isBusy, run };
}
