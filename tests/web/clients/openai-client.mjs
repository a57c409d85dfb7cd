/** npm "openai" as it is published, from the folder that is named; OPENAI_BASE_URL and OPENAI_API_KEY say where Kinora is. */
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const [picture = '', folder = ''] = process.argv.slice(2);
/** @type {typeof import('openai').OpenAI} */
const OpenAI = createRequire(`${folder}/`)('openai').OpenAI;
const openai = new OpenAI();

/** @param {string} id */
async function finished(id) {
  for (;;) {
    const video = await openai.videos.retrieve(id);
    if (video.status === 'completed' || video.status === 'failed') return video;
    await sleep(500);
  }
}

/** @type {import('openai').OpenAI.VideoCreateParams & { preset: string }} */
const asked = { prompt: 'zoom in', input_reference: createReadStream(picture), preset: 'fast' };
const video = await finished((await openai.videos.create(asked)).id);
assert.equal(video.status, 'completed');
const content = await openai.videos.downloadContent(video.id);
assert.equal(Buffer.from(await content.arrayBuffer()).toString('latin1', 4, 8), 'ftyp');
const remix = await finished((await openai.videos.remix(video.id, { prompt: 'zoom out' })).id);
assert.deepEqual([remix.status, remix.remixed_from_video_id], ['completed', video.id]);
assert.equal((await openai.videos.delete(remix.id)).deleted, true);
await assert.rejects(openai.videos.retrieve(remix.id), { status: 404, code: 'video_not_found' });
