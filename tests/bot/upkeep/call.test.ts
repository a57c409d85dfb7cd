/** Who is called to a video that came by an edit, and how often. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { mayCall } from '../../../src/bot/upkeep/delivery.ts';
import { Artifacts } from '../../../src/queue/artifacts.ts';
import { FolderStorage } from '../../../src/storage/folder-storage.ts';

it('calls once after a long wait, also when a crash has the video posted again', async ({
  onTestFinished,
}) => {
  const root = await mkdtemp(join(tmpdir(), 'kinora-call-'));
  onTestFinished(() => rm(root, { recursive: true }));
  const artifacts = new Artifacts(new FolderStorage(root));
  await artifacts.storeImage('t-1', Buffer.from('picture'));
  const waited = { waitedMs: 5_000, takeCall: () => artifacts.takeCall('t-1') };
  expect(await mayCall(waited, 60_000)).toBe(false);
  expect(await mayCall(waited, 5_000)).toBe(true);
  expect(await mayCall(waited, 5_000)).toBe(false);
  // Where no mark can be left, a second call is the smaller evil.
  await artifacts.remove('t-1');
  expect(await mayCall(waited, 5_000)).toBe(true);
});
