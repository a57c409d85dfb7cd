/** What is done with a clip. */
import { call } from '../api/client.ts';
import type { Video } from '../api/types.ts';
import { dropVideo, showVideo } from '../state/live.ts';
import { refreshSession } from '../state/session.ts';
import { latestClipList } from './clip-list.ts';

export const clipPath = (id: string): string => `/v1/videos/${encodeURIComponent(id)}`;
export const pagePath = (id: string): string => `/library/${encodeURIComponent(id)}`;

/** Also shows it in the library. */
export async function setFavourite({ id }: Video, isFavourite: boolean): Promise<Video> {
  const clip = await call<Video>(`${clipPath(id)}/favourite`, { method: isFavourite ? 'PUT' : 'DELETE' });
  latestClipList()?.update(clip);
  return clip;
}

export async function deleteClip(id: string): Promise<void> {
  await call(clipPath(id), { method: 'DELETE' });
  latestClipList()?.remove(id);
  dropVideo(id);
  void refreshSession();
}

export async function transformClip(id: string, action: 'smooth' | 'loop'): Promise<Video> {
  const clip = await call<Video>(`${clipPath(id)}/${action}`, { method: 'POST' });
  latestClipList()?.update(clip);
  return clip;
}

export type Again =
  | { readonly action: 'remix' | 'extend'; readonly prompt: string }
  | { readonly action: 'reroll' | 'subtle' | 'strong' };

/** @param idempotencyKey the same press, sent again after an answer that was lost, is one clip */
export async function makeAgain(id: string, again: Again, idempotencyKey: string): Promise<Video> {
  const words = 'prompt' in again ? { prompt: again.prompt } : {};
  const [route, body] = {
    remix: [`${clipPath(id)}/remix`, words] as const,
    extend: ['/v1/videos/extensions', { video: { id }, ...words }] as const,
    reroll: [`${clipPath(id)}/reroll`, {}] as const,
    subtle: [`${clipPath(id)}/variation`, { strength: 'subtle' }] as const,
    strong: [`${clipPath(id)}/variation`, { strength: 'strong' }] as const,
  }[again.action];
  const clip = await call<Video>(route, { method: 'POST', body, idempotencyKey });
  showVideo(clip);
  void refreshSession();
  return clip;
}
