import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { contract, NewerRecord } from '../../src/queue/contract.ts';
import { failureSchema, readQueueData, storedRequestSchema } from '../../src/queue/jobs.ts';
import { isNewerJson, readJson, readUnlessNewer, writeJson } from '../../src/queue/stored-json.ts';
import { canMake, isStranded } from '../../src/queue/worker-registry.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';

const schema = z.object({ name: z.string() });
const newer = JSON.stringify({ contract: contract + 1, name: 'ann', of: 'a later version' });

describe('a record', () => {
  it('without a contract is from before contracts, and read', () => {
    expect(readJson('{"name":"ann"}', schema)).toEqual({ name: 'ann' });
    expect(readUnlessNewer('{"name":"ann"}', schema)).toEqual({ name: 'ann' });
  });

  it('of this contract, or of an earlier one, is read, whatever more it says', () => {
    const text = JSON.stringify({ contract, name: 'ann', hat: 'green' });
    expect(readUnlessNewer(text, schema)).toEqual({ name: 'ann' });
    expect(readUnlessNewer(writeJson({ name: 'ann' }), schema)).toEqual({ name: 'ann' });
  });

  it('of a later contract is not read, though it looks like one of ours', () => {
    expect(readJson(newer, schema)).toBeUndefined();
    expect(() => readUnlessNewer(newer, schema)).toThrow(NewerRecord);
    expect(isNewerJson(newer)).toBe(true);
  });

  it('that says nonsense is foreign, and not newer', () => {
    for (const text of ['', 'no JSON', '7', 'null', '[]', '{"contract":"2","name":7}']) {
      expect(readUnlessNewer(text, schema)).toBeUndefined();
      expect(isNewerJson(text)).toBe(false);
    }
  });

  it('is written with its contract, and keeps the one that it has', () => {
    expect(JSON.parse(writeJson({ name: 'ann' }))).toEqual({ contract: 1, name: 'ann' });
    expect(JSON.parse(writeJson({ contract: 3, name: 'ann' }))).toEqual({ contract: 3, name: 'ann' });
  });
});

describe('a job', () => {
  it('in BullMQ is known by its contract first: a later one may look in any way', () => {
    expect(readQueueData({ jobId: 't-a' }).jobId).toBe('t-a');
    expect(readQueueData({ contract, jobId: 't-a', more: 1 }).jobId).toBe('t-a');
    expect(() => readQueueData({ contract: contract + 1, job: ['t', 'a'] })).toThrow(NewerRecord);
    expect(() => readQueueData({ job: ['t', 'a'] })).toThrow(z.ZodError);
  });

  it('of version 0.2 needs the first contract', () => {
    const generation = { prompt: 'zoom in', preset: 'standard', seed: 1 };
    const request = { id: 't-a', userKey: 'test:ann', generation, replyTo: {} };
    expect(storedRequestSchema.parse(request).contract).toBe(1);
  });

  it('that failed with a code of a later version is told as a fault', () => {
    const failure = { code: 'MOON_TOO_BRIGHT', message: 'The moon is too bright.' };
    expect(failureSchema.parse(failure)).toMatchObject({ code: 'INTERNAL' });
  });

  it('waits for a worker that understands it', () => {
    const old = { models: ['tiny'], reads: 1 };
    const later = { models: ['tiny'], reads: 2 };
    expect(canMake(old, { model: 'tiny' })).toBe(true);
    expect(canMake(old, { model: 'tiny', contract: 2 })).toBe(false);
    expect(canMake(later, { model: 'tiny', contract: 2 })).toBe(true);
    expect(canMake(later, { contract: 2 })).toBe(true);
    const serving = { ...old, pid: 1, host: 'h', beatAt: 1, jobId: null, device: 'cpu', isServing: true };
    const worker = { ...serving, loaded: [], quietMs: 0 };
    expect(isStranded({ contract: 2 }, [worker])).toBe(true);
    expect(isStranded({ contract: 2 }, [worker, { ...worker, ...later }])).toBe(false);
    expect(isStranded({}, [worker])).toBe(false);
  });
});

describe('the notes in a folder of a later version', () => {
  let folder: string;
  let storage: FolderStorage;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kinora-contract-'));
    storage = new FolderStorage(folder);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('are neither taken for absent nor for others', async () => {
    const artifacts = new Artifacts(storage);
    for (const name of ['answered.json', 'accepted.json', 'artifact.json']) {
      await storage.put({ folder: 't-a', name }, newer);
    }
    for (const read of ['answered', 'accepted', 'owed', 'readRecord'] as const) {
      await expect(artifacts[read]('t-a')).rejects.toThrow(NewerRecord);
    }
    await artifacts.storeAnswered('t-a', 'delivered');
    expect(JSON.parse(String(await storage.read({ folder: 't-a', name: 'answered.json' })))).toEqual({
      contract: 1,
      outcome: 'delivered',
    });
    expect(await artifacts.answered('t-a')).toBe('delivered');
  });
});
