/** A shell that waits and becomes ffmpeg behaves as an ffmpeg that was started directly, and never stays behind. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { type EncodeOptions, encodeVideo } from '../../src/video/encode.ts';
import { prepareStart } from '../../src/video/ffmpeg-start.ts';
import {
  builds,
  ffmpegPath,
  ffmpegPidIn,
  ffprobe,
  processesOf,
  temporaryFolder,
  texture,
  until,
} from '../helpers/video-fixture.ts';

const size = { width: 64, height: 64, fps: 8 };
const root = temporaryFolder();
const source = fileURLToPath(new URL('../../src/video/ffmpeg-start.ts', import.meta.url));
let tests = 0;
let folder = '';
let outPath = '';

beforeEach(() => {
  folder = join(root, `it's "${tests++}" $x`);
  mkdirSync(folder);
  outPath = join(folder, 'clip.mp4');
});

/** Shells that wait, of a process: no ffmpeg that has written its file and is about to be gone. */
function waitingOf(parent: number): number[] {
  return processesOf('while IFS= read')
    .filter(({ name }) => name === 'sh')
    .map(({ pid }) => pid)
    .filter((pid) => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return new RegExp(`^PPid:\\s+${parent}$`, 'm').test(status);
    });
}

function encode(options: Partial<EncodeOptions> = {}) {
  return encodeVideo(texture(5, 64, 64), {
    ...size,
    outPath,
    ffmpegPath,
    sharesProcessGroup: true,
    ...options,
  });
}

describe.skipIf(process.platform !== 'linux')('on Linux', () => {
  it.each(builds)(
    'the waiting shell becomes the ffmpeg of %s, and the MP4 is the same',
    async (_name, path) => {
      const metadata = { prompt: `a 'cat' "and" $HOME \`x\` \\n; exit 1 猫` };
      await encode({ ffmpegPath: path, metadata, sharesProcessGroup: false });
      const direct = readFileSync(outPath);
      await until(() => processesOf(folder).length === 0); // it may still give its memory back
      prepareStart();
      prepareStart();
      const [shell, ...more] = waitingOf(process.pid);
      expect(more).toEqual([]);
      let pid: number | undefined;
      async function* frames() {
        for await (const frame of texture(5, 64, 64)) {
          yield frame;
          pid ??= await ffmpegPidIn(folder);
        }
      }
      await encodeVideo(frames(), {
        ...size,
        outPath,
        ffmpegPath: path,
        metadata,
        sharesProcessGroup: true,
        startAt: Promise.resolve(),
      });
      expect(pid).toBe(shell);
      expect(readFileSync(outPath).equals(direct)).toBe(true);
      expect(waitingOf(process.pid)).toEqual([]);
    },
  );

  it('arguments that hold a line break do not go through the shell', async () => {
    prepareStart();
    outPath = join(folder, 'two\nlines.mp4');
    await encode();
    expect(ffprobe(outPath).stream.nb_read_frames).toBe(5);
    expect(waitingOf(process.pid)).toHaveLength(1);
  });

  it('an ffmpeg that is gone, is no program, fails', async () => {
    prepareStart();
    await expect(encode({ ffmpegPath: join(folder, 'ffmpeg') })).rejects.toMatchObject({
      code: 'FFMPEG_MISSING',
      message: 'ffmpeg cannot be started (ENOENT).',
    });
    writeFileSync(join(folder, 'text'), 'hello');
    prepareStart();
    await expect(encode({ ffmpegPath: join(folder, 'text') })).rejects.toMatchObject({
      code: 'FFMPEG_MISSING',
      message: 'ffmpeg cannot be started (EACCES).',
    });
    prepareStart();
    await expect(encode({ width: 2, height: 96 })).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(readdirSync(folder)).toEqual(['text']);
  });

  it('a shell that was killed while it waited: ffmpeg is started directly', async () => {
    prepareStart();
    const [shell = 0] = waitingOf(process.pid);
    process.kill(shell, 'SIGKILL');
    await until(() => waitingOf(process.pid).length === 0);
    await new Promise((resolve) => setTimeout(resolve, 50)); // for the news of it
    await expect(encode()).resolves.toMatchObject({ numFrames: 5 });
  });

  it('an abort kills what the shell became', async () => {
    prepareStart();
    const controller = new AbortController();
    async function* frames() {
      yield* texture(2, 64, 64);
      await ffmpegPidIn(folder);
      controller.abort();
      yield* texture(2, 64, 64);
    }
    const options = { ...size, outPath, ffmpegPath, sharesProcessGroup: true, signal: controller.signal };
    await expect(encodeVideo(frames(), options)).rejects.toMatchObject({ code: 'CANCELLED' });
    await until(() => processesOf(folder).length === 0);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('the shell neither keeps its process alive nor outlives it', async () => {
    const script = `const { prepareStart } = await import(${JSON.stringify(source)}); prepareStart();`;
    const run = ['--import', 'tsx', '--input-type=module', '-e'];
    expect(spawnSync(process.execPath, [...run, script], { timeout: 20_000 }).status).toBe(0);

    const child = spawn(process.execPath, [...run, `${script} setInterval(() => {}, 1000);`], {
      stdio: 'ignore',
    });
    const pid = child.pid ?? 0;
    const [shell = 0] = await until(() => {
      const found = waitingOf(pid);
      return found.length > 0 && found;
    });
    child.kill('SIGKILL');
    await until(() => !processesOf('while IFS= read').some((process) => process.pid === shell));
  });
});
