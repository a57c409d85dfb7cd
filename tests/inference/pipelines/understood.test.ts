/** What packs tell of the words that they understood, by the model that ships and one that tells nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { motions as en } from '../../../src/bot/sentences/motions-en.ts';
import { motions as zh } from '../../../src/bot/sentences/motions-zh.ts';
import type { GenerateRequest } from '../../../src/inference/image-to-video.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import { type OpenPack, openPack } from '../../../src/inference/packs/open.ts';
import { pictureOf } from '../../../src/inference/pictures/known-picture.ts';
import { I2VGenXLPipeline } from '../../../src/inference/pipelines/i2vgen-xl.ts';
import { readUnderstood } from '../../../src/inference/pipelines/understood.ts';
import { knownMotions } from '../../../src/request/model-limits.ts';
import type { Understood } from '../../../src/request/understood.ts';
import { builtinPackPath, tinyPackPath } from '../../helpers/golden.ts';

let builtin: OpenPack;
let folder: string;
beforeAll(async () => {
  builtin = await openPack(await loadPack(builtinPackPath), { device: 'cpu', threads: 1 });
  folder = await mkdtemp(join(tmpdir(), 'kinora-understood-'));
});
afterAll(async () => {
  await builtin.release();
  await rm(folder, { recursive: true, force: true });
});

const side = 128;
const image = pictureOf({
  width: side,
  height: side,
  data: Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * i) % 251),
});

async function understoodBy(
  pack: OpenPack,
  prompt: string,
  changes: Partial<GenerateRequest> = {},
): Promise<Understood | undefined> {
  const request: GenerateRequest = {
    prompt,
    negativePrompt: '',
    seed: 1,
    width: side,
    height: side,
    numFrames: 2,
    numInferenceSteps: 1,
    guidanceScale: 1,
    guidanceEnd: 1,
    targetFps: 16,
    scheduler: 'ddim',
    featureReuse: 1,
    decodeChunkSize: 2,
    image,
    ...changes,
  };
  const cache = new LatentCache({ folder, memoryBytes: 1e8, diskBytes: 1e8 });
  let understood: Understood | undefined;
  const hooks = {
    signal: new AbortController().signal,
    onProgress: () => {},
    onReport: (report: { readonly understood?: Understood }) => {
      understood = report.understood;
    },
  };
  let frames = 0;
  for await (const _ of new I2VGenXLPipeline(pack, cache).generate(request, hooks)) frames++;
  expect(frames).toBe(2);
  return understood;
}

const pushIn = [{ motion: 'zoom-in', speed: 'slow' }];
const zoomAndWaves = [
  { motion: 'zoom-out', speed: 'slow' },
  { motion: 'waves', speed: 'normal' },
];
const zoomAndSnow = [
  { motion: 'zoom-out', speed: 'slow' },
  { motion: 'snow', speed: 'normal' },
];

describe('the model that ships', () => {
  it.each([
    ['zoom out slowly, snow falling', { asked: zoomAndSnow, done: zoomAndSnow }],
    // The picture shows no water.
    ['zoom out slowly, waves rolling', { asked: zoomAndWaves, done: zoomAndWaves.slice(0, 1) }],
    ['the camera pans left fast', { asked: [{ motion: 'pan-left', speed: 'fast' }] }],
    ['a cat on a sofa', { asked: [], done: pushIn }],
    // Words in a script of none of its languages are no words.
    ['눈이 내린다', { asked: [], done: pushIn }],
    ['카메라 왼쪽으로, बर्फ गिर रही है।', { asked: [], done: pushIn }],
    ['카메라 zoom out slowly, snow falling', { asked: zoomAndSnow, done: zoomAndSnow }],
    ['', { asked: [], done: pushIn }],
  ])('tells of "%s" what was asked for and what it did', async (prompt, expected) => {
    expect(await understoodBy(builtin, prompt)).toMatchObject(expected);
    // The words are in the cache now.
    expect(await understoodBy(builtin, prompt, { seed: 2 })).toMatchObject(expected);
  });

  it.each([
    ['English', en.words],
    ['Chinese', zh.words],
  ])('understands the words that people are offered in %s', async (_language, words) => {
    const motions = knownMotions(builtin.manifest) ?? [];
    expect(motions.length).toBeGreaterThan(0);
    for (const motion of motions) {
      const { asked = [] } = (await understoodBy(builtin, words[motion])) ?? {};
      expect(
        asked.map((one) => one.motion),
        words[motion],
      ).toContain(motion);
    }
  });

  it('tells it of the prompt, not of the negative prompt, and what that took away', async () => {
    const guided = { guidanceScale: 2, negativePrompt: 'snow' };
    expect(await understoodBy(builtin, 'zoom out slowly, snow falling', guided)).toEqual({
      asked: zoomAndSnow,
      done: zoomAndSnow.slice(0, 1),
    });
  });
});

describe('a pack', () => {
  it('tells nothing if its manifest names no motions', async () => {
    const tiny = await openPack(await loadPack(tinyPackPath), { device: 'cpu', threads: 1 });
    try {
      expect(await understoodBy(tiny, 'waves rolling')).toBeUndefined();
    } finally {
      await tiny.release();
    }
  });

  it('is refused if it names motions and its context has no room for their levels', () => {
    const narrow = { data: new Float32Array(2 * 65), dims: [1, 2, 65] };
    expect(readUnderstood(['waves'], narrow)).toEqual({ asked: [], done: [] });
    expect(() => readUnderstood(['waves', 'sway'], narrow)).toThrow(/no room.*expected at least 2 × 66/);
    const flat = { data: new Float32Array(128), dims: [1, 1, 128] };
    expect(() => readUnderstood(['waves'], flat)).toThrow(/no room/);
  });

  it('may say its levels with the numbers of a GPU', () => {
    const data = new Float32Array(2 * 80);
    data.set([0.001, 0.3496, 0.6504, 0.9998], 80);
    const motions = ['rain', 'snow', 'fog', 'waves'] as const;
    expect(readUnderstood(motions, { data, dims: [1, 2, 80] })).toEqual({
      asked: [],
      done: [
        { motion: 'snow', speed: 'slow' },
        { motion: 'fog', speed: 'normal' },
        { motion: 'waves', speed: 'fast' },
      ],
    });
  });
});
