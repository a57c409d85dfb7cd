import { chmodSync, copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { encodeVideo } from '../../src/video/encode.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { builds, ffmpegPath, temporaryFolder, texture } from '../helpers/video-fixture.ts';

const folder = temporaryFolder();

function script(name: string, body: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

it('takes the configured ffmpeg before all others', async () => {
  expect(await findFfmpeg({ ffmpegPath })).toMatchObject({ path: ffmpegPath, source: 'configured' });
});

it('takes the one in PATH next', async () => {
  const path = script('ffmpeg-in-path', `exec '${ffmpegPath}' "$@"`);
  expect(await findFfmpeg({ command: path })).toMatchObject({ path, source: 'path' });
  expect(builds.map(([name]) => name).includes('system')).toBe((await findFfmpeg()).source === 'path');
});

it('falls back to the npm package', async () => {
  const found = await findFfmpeg({ command: 'ffmpeg-that-nobody-has' });
  expect(found).toMatchObject({ path: ffmpegPath, source: 'npm' });
  expect(found.version).toMatch(/^N-\d+/);
});

it('repairs a lost executable bit of the npm package', async () => {
  const copy = join(folder, 'package');
  mkdirSync(copy);
  copyFileSync(ffmpegPath, join(copy, 'ffmpeg'));
  chmodSync(join(copy, 'ffmpeg'), 0o644);
  writeFileSync(
    join(copy, 'index.js'),
    `module.exports = { path: ${JSON.stringify(join(copy, 'ffmpeg'))} };`,
  );
  expect(await findFfmpeg({ command: 'ffmpeg-that-nobody-has', npmPackage: copy })).toMatchObject({
    source: 'npm',
  });
  expect(statSync(join(copy, 'ffmpeg')).mode & 0o777).toBe(0o755);
});

it('says everything that was tried when there is none', async () => {
  await expect(
    findFfmpeg({ command: 'ffmpeg-that-nobody-has', npmPackage: 'package-that-nobody-has' }),
  ).rejects.toMatchObject({
    code: 'FFMPEG_MISSING',
    message:
      'No usable ffmpeg was found: "ffmpeg-that-nobody-has" in PATH does not exist; ' +
      'the npm package package-that-nobody-has is not installed for this platform.',
  });
});

it.each([
  ['none', () => join(folder, 'none'), 'does not exist'],
  ['a folder', () => folder, 'may not be executed'],
  ['another program', () => script('other', 'echo hello'), 'is not ffmpeg'],
  ['a failing program', () => script('failing', 'exit 3'), 'does not run (3)'],
  [
    'an ffmpeg without x264',
    () => script('bare', 'echo "ffmpeg version 9.9 Copyright" >&2; echo " V..... mpeg4  MPEG-4"'),
    '(9.9) has no libx264 encoder',
  ],
])('refuses %s as the configured path, and does not look elsewhere', async (_name, make, reason) => {
  const path = make(); // once: a shell that is starting would read a script that is being written again
  await expect(findFfmpeg({ ffmpegPath: path })).rejects.toMatchObject({
    code: 'FFMPEG_MISSING',
    message: `No usable ffmpeg was found: FFMPEG_PATH (${path}) ${reason}.`,
  });
});

it('gives no token of the environment to ffmpeg', async () => {
  const seen = join(folder, 'seen');
  const spy = script('spy', `env > '${seen}'; exec '${ffmpegPath}' "$@"`);
  process.env['KINORA_TELEGRAM_TOKEN'] = '1:secret-of-the-environment';
  try {
    await findFfmpeg({ ffmpegPath: spy });
    expect(readFileSync(seen, 'utf8')).toMatch(/^PATH=/m);
    expect(readFileSync(seen, 'utf8')).not.toContain('secret-of-the-environment');
    const shape = { width: 64, height: 64, fps: 8 };
    await encodeVideo(texture(4, 64, 64), { ...shape, outPath: join(folder, 'clip.mp4'), ffmpegPath: spy });
    expect(readFileSync(seen, 'utf8')).not.toContain('secret-of-the-environment');
  } finally {
    delete process.env['KINORA_TELEGRAM_TOKEN'];
  }
});
