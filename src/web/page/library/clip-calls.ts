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
  | { readonly action: 'remix'; readonly prompt: string }
  | { readonly action: 'reroll' | 'subtle' | 'strong' };

/** @param idempotencyKey the same press, sent again after an answer that was lost, is one clip */
export async function makeAgain(id: string, again: Again, idempotencyKey: string): Promise<Video> {
  const [route, body] = {
    remix: ['remix', 'prompt' in again ? { prompt: again.prompt } : {}] as const,
    reroll: ['reroll', {}] as const,
    subtle: ['variation', { strength: 'subtle' }] as const,
    strong: ['variation', { strength: 'strong' }] as const,
  }[again.action];
  const clip = await call<Video>(`${clipPath(id)}/${route}`, { method: 'POST', body, idempotencyKey });
  showVideo(clip);
  void refreshSession();
  return clip;
}
