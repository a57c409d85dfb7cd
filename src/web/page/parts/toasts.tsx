/** Short news at the edge of the page, heard by screen readers, gone after a while. */
import { useSay } from '../sentences/say.ts';
import { createStore, useStore } from '../state/store.ts';
import { IconButton } from './button.tsx';

interface Toast {
  readonly id: number;
  readonly kind: 'info' | 'error';
  readonly text: string;
}

const shownMs = 7_000;
const toasts = createStore<readonly Toast[]>([]);
let latest = 0;

export function showToast(text: string, kind: Toast['kind'] = 'info'): void {
  const id = ++latest;
  toasts.set([...toasts.get().filter((toast) => toast.text !== text), { id, kind, text }]);
  setTimeout(() => hide(id), shownMs);
}

const hide = (id: number): void => toasts.set(toasts.get().filter((toast) => toast.id !== id));

export function Toasts() {
  const say = useSay();
  return (
    <div class="toasts" role="status" aria-live="polite">
      {useStore(toasts).map(({ id, kind, text }) => (
        <div class={`toast toast-${kind}`} key={id}>
          <span>{text}</span>
          <IconButton icon="close" label={say.shell.close} onClick={() => hide(id)} />
        </div>
      ))}
    </div>
  );
}
