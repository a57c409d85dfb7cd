/** Sends a draft. A request that was sent and not answered is the same request when it is sent again. */
import { call } from '../api/client.ts';
import type { Studio, Video } from '../api/types.ts';
import { showVideo } from '../state/live.ts';
import { refreshSession } from '../state/session.ts';
import { type Draft, draft } from './draft.ts';
import { maskOf } from './mask.ts';
import { fieldsOf, type PresetInfo, remixFieldsOf } from './options.ts';
import { fileOf } from './picture.ts';

/** Of the draft that was sent last, until it is accepted or changed. */
let sent: { readonly draft: Draft; readonly key: string; readonly fields: Fields } | undefined;
type Fields = ReturnType<typeof fieldsOf>;

function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('');
}

/** @throws ApiError with what Kinora says */
export async function submit(preset: PresetInfo, studio: Studio): Promise<Video> {
  const now = draft.get();
  const fields =
    sent?.draft === now ? sent.fields : now.from ? remixFieldsOf(now, preset, studio) : fieldsOf(now, studio);
  sent = sent?.draft === now ? sent : { draft: now, key: newKey(), fields };
  const { key: idempotencyKey } = sent;
  const video = now.from
    ? await call<Video>(`/v1/videos/${encodeURIComponent(now.from.id)}/remix`, {
        method: 'POST',
        body: fields,
        idempotencyKey,
      })
    : await call<Video>('/v1/videos', { method: 'POST', body: await formOf(now, fields), idempotencyKey });
  sent = undefined;
  showVideo(video);
  void refreshSession();
  return video;
}

async function formOf({ picture }: Draft, fields: Fields): Promise<FormData> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  if (!picture) return form;
  const file = await fileOf(picture);
  form.append('input_reference', file, picture.name || 'picture');
  if (picture.mask.length === 0) return form;
  const bitmap = await createImageBitmap(file);
  const mask = await maskOf(picture.mask, bitmap);
  bitmap.close();
  if (mask) form.append('motion_mask', mask, 'mask.png');
  return form;
}
