import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import {
  removeTemporaryFiles,
  temporaryFilesOf,
  temporaryName,
  writeAtomically,
} from '../../src/video/output-file.ts';
import { temporaryFolder } from '../helpers/video-fixture.ts';

const folder = temporaryFolder();

it('names temporary files beside the output, hidden, and short enough for every file system', () => {
  const long = `${'猫'.repeat(80)}.mp4`;
  const names = [temporaryName(join(folder, long)), temporaryName(join(folder, long))];
  expect(names[0]).not.toBe(names[1]);
  for (const name of names) {
    expect(dirname(name)).toBe(folder);
    expect(basename(name).startsWith('.')).toBe(true);
    for (const file of Object.values(temporaryFilesOf(name)))
      expect(Buffer.byteLength(basename(file))).toBeLessThan(255);
  }
});

it('removes what a killed process left of one output, and nothing else', async () => {
  const place = join(folder, 'left');
  mkdirSync(place);
  const outPath = join(place, 'clip.mp4');
  for (const file of Object.values(temporaryFilesOf(temporaryName(outPath)))) writeFileSync(file, '');
  for (const file of [outPath, join(place, 'other.mp4'), temporaryName(join(place, 'other.mp4'))]) {
    writeFileSync(file, '');
  }
  await removeTemporaryFiles(outPath);
  const left = readdirSync(place).sort();
  expect(left).toEqual([expect.stringMatching(/^\.other\.mp4\.kinora-/), 'clip.mp4', 'other.mp4']);
  await removeTemporaryFiles(join(folder, 'no-such-folder', 'clip.mp4'));
});

it('leaves neither name when the writer fails', async () => {
  const outPath = join(folder, 'failed.txt');
  const writing = writeAtomically(outPath, async (path) => {
    writeFileSync(path, 'half');
    throw new Error('enough');
  });
  await expect(writing).rejects.toThrow('enough');
  expect(readdirSync(folder).filter((name) => name.includes('failed'))).toEqual([]);
});
