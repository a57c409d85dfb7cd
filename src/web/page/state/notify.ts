/** Tells that a video is over while the page is not looked at: in its title, and, where allowed, by a notification. */

import type { Video } from '../api/types.ts';
import { sayNow } from '../sentences/say.ts';
import { showProgressInTitle } from '../shell/title.ts';
import { live, onVideoEnd } from './live.ts';
import { createStore } from './store.ts';

const isSupported = 'Notification' in globalThis && isSecureContext;

/** off: may be asked for. unavailable: this browser has none here. */
export const notifying = createStore<'on' | 'off' | 'unavailable'>(
  !isSupported ? 'unavailable' : Notification.permission === 'granted' ? 'on' : 'off',
);

/** Browsers ask only at a press of the person. */
export async function askToNotify(): Promise<'on' | 'off' | 'blocked'> {
  if (notifying.get() === 'on') {
    notifying.set('off');
    return 'off';
  }
  const permission = await Notification.requestPermission();
  if (permission !== 'granted') return 'blocked';
  notifying.set('on');
  return 'on';
}

export function followEnds(): void {
  onVideoEnd((video) => {
    if (document.hidden && notifying.get() === 'on') notify(video);
  });
  live.subscribe(() => {
    const made = live.get()?.filter(({ video }) => video.status === 'in_progress') ?? [];
    showProgressInTitle(made.length > 0 ? Math.max(...made.map(({ video }) => video.progress)) : undefined);
  });
}

function notify({ id, status, prompt, error }: Video): void {
  if (error?.code === 'CANCELLED') return;
  const { live: text } = sayNow();
  try {
    const note = new Notification(status === 'completed' ? text.done : text.failed, {
      body: prompt,
      tag: id,
    });
    note.onclick = () => {
      focus();
      note.close();
    };
  } catch {
    // Phones take notifications from service workers alone.
  }
}
