/** Where nobody set a budget, what is free on the GPU is asked for before each load: others use it, too. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { EnginePacks } from '../../src/engine/child/packs.ts';
import { LatentCache } from '../../src/inference/latent-cache.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { h100, writeProgram } from '../fakes/nvidia.ts';
import { temporaryFolder, tinyPack } from '../helpers/engine-fixture.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

const gibibyte = 1024 ** 3;

it.each([
  ['no budget', undefined, ['asked', 'asked']],
  ['a budget', 8 * gibibyte, []],
] as const)('with %s', async (_name, memoryBudgetBytes, expected) => {
  const folder = temporaryFolder();
  const asked = path.join(folder, 'asked');
  writeProgram(path.join(folder, 'bin'), 'nvidia-smi', `echo asked >> '${asked}'\necho '${h100}'`);
  vi.stubEnv('PATH', `${path.join(folder, 'bin')}:${process.env['PATH']}`);
  const cache = new LatentCache({ folder: '', memoryBytes: 0, diskBytes: 0 });
  const packs = new EnginePacks(
    [await loadPack(tinyPack)],
    { device: 'cuda:15', threads: 1, memoryBudgetBytes },
    cache,
  );
  // No machine has that GPU, so the load fails, and the next job tries again.
  for (let job = 0; job < 2; job++) {
    await packs
      .use(undefined, () => {})
      .then(
        ({ pack }) => pack.release(),
        () => {},
      );
  }
  const lines = existsSync(asked) ? readFileSync(asked, 'utf8').trim().split('\n') : [];
  expect(lines).toEqual(expected);
});
