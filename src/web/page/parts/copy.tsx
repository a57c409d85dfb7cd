/** Copying texts, also where the page comes over plain HTTP, for which browsers have no clipboard. */
import { sayNow } from '../sentences/say.ts';
import { IconButton } from './button.tsx';
import { showToast } from './toasts.tsx';

async function write(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement('textarea');
    const focused = document.activeElement;
    field.value = text;
    field.className = 'hidden';
    (document.querySelector('dialog[open]') ?? document.body).append(field);
    field.select();
    // Deprecated, and the only way without HTTPS.
    const isCopied = document.execCommand('copy');
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return isCopied;
  }
}

/** @param what the name of what is copied */
export async function copyText(text: string, what: string): Promise<void> {
  const { clips } = sayNow();
  if (await write(text)) showToast(clips.copied(what));
  else showToast(clips.notCopied, 'error');
}

export function CopyButton({ text, what, label }: { text: string; what: string; label: string }) {
  return <IconButton icon="copy" label={label} onClick={() => void copyText(text, what)} />;
}
