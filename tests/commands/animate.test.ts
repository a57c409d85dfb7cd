import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ffprobe from '@ffprobe-installer/ffprobe';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { psnr } from '../../bench/quality/pixels.ts';
import { splitArguments } from '../../src/commands/animate.ts';
import { describeExitCodes } from '../../src/commands/exit-codes.ts';
import { findKeptVideo } from '../../src/commands/kept-video.ts';
import { loadConfig } from '../../src/config.ts';
import { forgetEntries, namesOf } from '../../src/inference/forget-entries.ts';
import { LatentCache } from '../../src/inference/latent-cache.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { type Option, optionTable } from '../../src/request/request.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { builtinPackPath, svdPackPath, tinyPackPath } from '../helpers/golden.ts';
import { filesOf } from '../helpers/job-files.ts';
import { runCli } from '../helpers/run-cli.ts';
import { columnsChange, decodeFrames } from '../helpers/video-fixture.ts';

const cat = fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url));
const coffee = fileURLToPath(new URL('../../examples/coffee.jpg', import.meta.url));
const small = ['--size', '64', '--frames', '4', '--steps', '2'];

const picture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/pictures/${name}`, import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-cli-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const files = (): string[] => readdirSync(folder).filter((name) => name !== 'data');

interface Probe {
  readonly streams: readonly { codec_name: string; width: number; height: number; nb_read_frames: string }[];
  readonly format: { duration: string; tags?: Readonly<Record<string, string>> };
}

function probe(file: string): Probe {
  const args = ['-v', 'error', '-count_frames', '-show_streams', '-show_format', '-of', 'json', file];
  return JSON.parse(execFileSync(ffprobe.path, args, { encoding: 'utf8' })) as Probe;
}

describe('kinora animate', () => {
  it('writes an MP4 and says where, how and from which seed', async () => {
    const { code, stdout, stderr } = await runCli(['animate', cat, 'zoom in', '--seed', '7', ...small], {
      folder,
    });
    expect(stderr).toContain(join(folder, 'cat-7.mp4'));
    expect(stderr).toMatch(/seed 7 · video id [0-9a-f]{24}/);
    expect(stdout).toBe('');
    expect(code).toBe(0);
    expect(files()).toEqual(['cat-7.mp4']);
    const { streams, format } = probe(join(folder, 'cat-7.mp4'));
    expect(streams).toHaveLength(1);
    expect(streams[0]).toMatchObject({ codec_name: 'h264', nb_read_frames: '4' });
    expect(Number(format.duration)).toBeCloseTo(0.5, 2);
    expect(JSON.parse(format.tags?.['comment'] ?? '{}')).toMatchObject({ prompt: 'zoom in', seed: '7' });
  });

  it('moves only what a mask shows white, and says what is wrong with another', async () => {
    const mask = join(folder, 'mask.png');
    const { width = 0, height = 0 } = await sharp(cat).metadata();
    const half = Math.floor(width / 2);
    const right = { create: { width: half, height, channels: 3, background: 'white' } } as const;
    await sharp({ create: { width, height, channels: 3, background: 'black' } })
      .composite([{ input: await sharp(right).png().toBuffer(), left: half, top: 0 }])
      .toFile(mask);
    const size = ['--size', '128x128', '--frames', '4', '--motion', 'high', '--seed', '7'];
    const { code, stderr } = await runCli(['animate', cat, 'fast zoom in', '--mask', mask, ...size], {
      folder,
    });
    expect(stderr).toContain('cat-7.mp4');
    expect(code).toBe(0);
    const expectMotionRight = (file: string): void => {
      expect(columnsChange(file, [128, 128], 0, 0.44)).toBeLessThan(1);
      expect(columnsChange(file, [128, 128], 0.56, 1)).toBeGreaterThan(5);
    };
    expectMotionRight(join(folder, 'cat-7.mp4'));

    // A variation keeps it.
    const [, videoId = ''] = /video id (\w+)/.exec(stderr) ?? [];
    const out = join(folder, 'varied.mp4');
    await runCli(['animate', '--from', videoId, '--strength', 'strong', '--out', out], { folder });
    expectMotionRight(out);

    const square = join(folder, 'square.png');
    await sharp({ create: { width: 64, height: 64, channels: 3, background: 'white' } }).toFile(square);
    const refused = await runCli(['animate', cat, '--mask', square, ...size], { folder });
    expect(refused.stderr).toMatch(
      /^The mask has .* expected the same shape\. Paint the mask over the whole/,
    );
    expect(refused.code).toBe(2);
    const none = await runCli(['animate', cat, '--mask', fileURLToPath(import.meta.url), ...size], {
      folder,
    });
    expect(none.stderr).toMatch(/^The mask cannot be read; expected a picture as PNG or JPEG/);
  });

  it('names the setting that its model does not know, unless an option replaces it', async () => {
    const environment = { KINORA_MODEL: svdPackPath, KINORA_SCHEDULER: 'ddim' };
    const refused = await runCli(['animate', cat], { folder, environment });
    expect(refused.stderr).toMatch(/^KINORA_SCHEDULER is ddim; the model pack tiny-svd knows euler and dpm/);
    expect(refused.code).toBe(2);
    const replaced = await runCli(['animate', cat, '--scheduler', 'euler', '--frames', '99'], {
      folder,
      environment,
    });
    expect(replaced.stderr).toMatch(/frames is 99/);
  });

  it('keeps the shape of a panorama, or passes along all of it in a pan', async () => {
    const panorama = join(folder, 'panorama.png');
    const frame = { width: 960, height: 240 };
    const part = { width: 240, height: 240 };
    const parts = await Promise.all(
      [cat, coffee, cat, coffee].map(async (file, i) => ({
        input: await sharp(file)
          .resize(part)
          .modulate({ hue: 90 * i })
          .png()
          .toBuffer(),
        left: 240 * i,
        top: 0,
      })),
    );
    await sharp({ create: { ...frame, channels: 3, background: 'black' } })
      .composite(parts)
      .toFile(panorama);
    const mp4 = join(folder, 'panned.mp4');
    const options = ['--size', '192', '--frames', '3', '--seed', '7', '--force', '--out', mp4];
    const environment = { KINORA_MODEL: builtinPackPath };
    const animate = (prompt: string, ...more: string[]) =>
      runCli(['animate', panorama, prompt, ...options, ...more], { folder, environment });

    const kept = await animate('zoom in', '--frames', '2');
    expect(kept.code).toBe(0);
    expect(probe(mp4).streams[0]).toMatchObject({ width: 512, height: 128 });

    const panned = await animate('pan left');
    expect(panned.code).toBe(0);
    expect(panned.stderr).toContain('256×144, 3 frames');
    expect(panned.stderr).not.toMatch(/cut off|reused/);
    const { streams, format } = probe(mp4);
    expect(streams[0]).toMatchObject({ width: 256, height: 144, nb_read_frames: '3' });
    const tags = { width: '256', height: '144' };
    expect(JSON.parse(format.tags?.['comment'] ?? '{}')).toMatchObject(tags);
    const whole = sharp(panorama).removeAlpha().resize(576, 144, { kernel: 'cubic' });
    const end = async (left: number): Promise<Uint8Array> =>
      await whole.clone().extract({ left, top: 0, width: 256, height: 144 }).raw().toBuffer();
    let frames = decodeFrames(mp4, 256, 144);
    expect(psnr(frames[0] ?? new Uint8Array(), await end(320))).toBeGreaterThan(26);
    expect(psnr(frames[2] ?? new Uint8Array(), await end(0))).toBeGreaterThan(26);

    // A variation passes along it as its video did.
    const [, videoId = ''] = /video id (\w+)/.exec(panned.stderr) ?? [];
    const out = join(folder, 'varied.mp4');
    await runCli(['animate', '--from', videoId, '--out', out], { folder, environment });
    frames = decodeFrames(out, 256, 144);
    expect(psnr(frames[2] ?? new Uint8Array(), await end(0))).toBeGreaterThan(26);

    // What a mask leaves still would travel with the camera.
    const mask = join(folder, 'mask.png');
    await sharp({ create: { ...frame, channels: 3, background: 'white' } }).toFile(mask);
    await animate('pan left', '--mask', mask, '--frames', '2');
    expect(probe(mp4).streams[0]).toMatchObject({ width: 512, height: 128 });
  });

  it('prints one object with --json, remembers the picture over a restart, and varies an earlier video', async () => {
    const first = await runCli(['animate', cat, 'zoom in', '--seed', '7', '--json', ...small], { folder });
    const made = JSON.parse(first.stdout);
    expect(made).toMatchObject({
      out: join(folder, 'cat-7.mp4'),
      seed: 7,
      numFrames: 4,
      fps: 8,
      device: 'cpu',
    });
    expect(made).toMatchObject({ model: 'tiny-i2vgen-xl', width: 64, height: 64 });
    expect(made.cache.hits).not.toContain('image');
    expect(made.timings.total).toBeGreaterThanOrEqual(made.timings.sessions);

    const second = await runCli(
      [
        'animate',
        cat,
        'waves',
        '--from',
        made.videoId,
        '--strength',
        'strong',
        '--seed',
        '8',
        '--json',
        ...small,
      ],
      { folder },
    );
    expect(JSON.parse(second.stdout).cache.hits).toEqual(expect.arrayContaining(['image', 'video']));
    expect(second.code).toBe(0);
  });

  it('animates several pictures with one engine and never overwrites a video that it named itself', async () => {
    mkdirSync(join(folder, 'other'));
    copyFileSync(coffee, join(folder, 'other', 'cat.jpg'));
    const args = [
      'animate',
      cat,
      'other/cat.jpg',
      'zoom in',
      '--seed',
      '1',
      '--json',
      '--no-metadata',
      ...small,
    ];
    const { stdout } = await runCli(args, { folder });
    const { videos } = JSON.parse(stdout) as { videos: { out: string }[] };
    expect(videos.map(({ out }) => out)).toEqual([join(folder, 'cat-1.mp4'), join(folder, 'cat-1-2.mp4')]);
    expect(probe(join(folder, 'cat-1.mp4')).format.tags?.['comment']).toBeUndefined();
  });

  it('leaves nothing half-written when it is interrupted', async () => {
    const { code, stderr } = await runCli(['animate', cat, 'zoom in', '--size', '256', '--steps', '100'], {
      folder,
      onStderr: (text, kill) => {
        if (text.includes('Imagining')) kill('SIGINT');
      },
    });
    expect(code).toBe(130);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(files()).toEqual([]);
  });
});

describe('what lies where the video goes', () => {
  it('makes the folder, overwrites nothing without --force, and never the picture', async () => {
    const made = await runCli(['animate', cat, '--seed', '1', '--out', 'new/videos/', ...small], { folder });
    expect(made.stderr).toContain(join(folder, 'new/videos/cat-1.mp4'));
    copyFileSync(cat, join(folder, 'mine.jpg'));
    writeFileSync(join(folder, 'mine.mp4'), 'my own');
    const refused = await runCli(['animate', 'mine.jpg', '--out', 'mine', ...small], { folder });
    expect(refused.stderr).toBe(
      'mine.mp4 is there already. Choose another name with --out, or overwrite it with --force.\n',
    );
    expect(refused.code).toBe(7);
    const picture = await runCli(
      ['animate', 'mine.jpg', '--out', 'mine', '--force', '--thumbnail', ...small],
      {
        folder,
      },
    );
    expect(picture.stderr).toBe('mine.jpg is the picture itself. Choose another name with --out.\n');
    expect(readFileSync(join(folder, 'mine.mp4'), 'utf8')).toBe('my own');
    const forced = await runCli(['animate', 'mine.jpg', '--out', 'mine.mp4', '--force', ...small], {
      folder,
    });
    expect(forced.code).toBe(0);
    expect(probe(join(folder, 'mine.mp4')).streams).toHaveLength(1);
  });

  it('names the bad pictures of a batch and makes the others', async () => {
    const args = [
      'animate',
      'nope.jpg',
      cat,
      picture('truncated.jpg'),
      'zoom in',
      '--out',
      'videos',
      '--json',
    ];
    const { code, stdout, stderr } = await runCli([...args, ...small], { folder });
    const { videos, failures } = JSON.parse(stdout);
    expect(videos).toHaveLength(1);
    expect(failures).toMatchObject([
      { image: 'nope.jpg', code: 'IMAGE_NOT_FOUND', remedy: expect.stringContaining('Check the path') },
      { image: picture('truncated.jpg'), code: 'IMAGE_UNREADABLE' },
    ]);
    expect(stderr).toMatch(/^nope.jpg: There is no picture at "nope.jpg"/m);
    expect(code).toBe(3);
    expect(readdirSync(join(folder, 'videos'))).toHaveLength(1);
  });

  it('has options without effect with the built-in model, which their help says', async () => {
    const { manifest } = await loadPack(builtinPackPath);
    const options = (manifest.ignoredOptions ?? []).map((name): Option => optionTable[name]);
    expect(options).toHaveLength(5);
    for (const { help } of options) expect(help).toMatch(/^(not for the built-in model|for I2VGen-XL)/);
  });

  it('leaves out what the model ignores, and says so', async () => {
    const pack = join(folder, 'deaf');
    cpSync(tinyPackPath, pack, { recursive: true });
    const manifest = JSON.parse(readFileSync(join(pack, 'kinora.json'), 'utf8'));
    const ignoredOptions = ['numInferenceSteps', 'negativePrompt'];
    writeFileSync(join(pack, 'kinora.json'), JSON.stringify({ ...manifest, ignoredOptions }));
    const asked = ['animate', cat, 'zoom in', '--size', '64', '--frames', '4', '--steps', '3'];
    const environment = { KINORA_MODEL: pack };
    const said = await runCli([...asked, '--preset', 'fast'], { folder, environment });
    expect(said.stderr).toContain('  note: --steps has no effect with tiny-i2vgen-xl.\n');
    const { stdout } = await runCli([...asked, '-n', 'rain', '--json', '-o', 'other.mp4'], {
      folder,
      environment,
    });
    expect(JSON.parse(stdout)).toMatchObject({ ignored: ignoredOptions });
  });

  it('says what the model understood of the prompt, with --json as data', async () => {
    const environment = { KINORA_MODEL: builtinPackPath };
    const asked = ['animate', cat, 'zoom out slowly', '--size', '128', '--frames', '2'];
    const said = await runCli(asked, { folder, environment });
    expect(said.stderr).toContain('\n  understood: zoom out, slow\n');
    const { stdout } = await runCli([...asked, '--json'], { folder, environment });
    const zoom = [{ motion: 'zoom-out', speed: 'slow' }];
    expect(JSON.parse(stdout)).toMatchObject({ understood: { asked: zoom, done: zoom } });
  });

  it('takes picture, prompt, preset, size and frames of the earlier video with --from', async () => {
    const asked = ['animate', cat, 'zoom in', '--preset', 'fast', '--steps', '2', '--size', '64', '--json'];
    const { videoId, numFrames } = JSON.parse((await runCli(asked, { folder })).stdout);
    const varied = await runCli(['animate', 'pan left', '--from', videoId, '--json'], { folder });
    expect(JSON.parse(varied.stdout)).toMatchObject({
      prompt: 'pan left',
      preset: 'fast',
      width: 64,
      height: 64,
      numFrames,
      cache: { hits: expect.arrayContaining(['image', 'video']) },
    });
    const alone = JSON.parse((await runCli(['animate', '--from', videoId, '--json'], { folder })).stdout);
    expect(alone.prompt).toBe('zoom in');
    const other = await runCli(['animate', coffee, '--from', videoId], { folder });
    expect(other.stderr).toMatch(/another picture.* Give the picture that the video was made of.\n$/);
  });
});

describe('kinora animate --from a video of a chat', () => {
  const jobId = 'discord-77';

  /** Made as for a chat: the cache knows nothing of what was asked for, and the job's folder all of it. */
  async function madeForChat(): Promise<{ videoId: string; pictureKey: string; artifacts: Artifacts }> {
    const asked = ['animate', cat, 'zoom in', '--preset', 'fast', '--steps', '2', '--size', '64', '--json'];
    const { out, videoId, ...made } = JSON.parse((await runCli(asked, { folder })).stdout);
    const cache = new LatentCache({ folder: cacheFolder, memoryBytes: 0, diskBytes: 2 ** 30 });
    const key = LatentCache.key('video', videoId);
    const entry = await cache.get(key);
    const pictureKey = String(entry?.meta?.['pictureKey']);
    await rm(join(cacheFolder, key));
    cache.set(key, { tensors: entry?.tensors ?? {}, meta: { pictureKey } });
    await cache.flush();
    const artifacts = new Artifacts(new FolderStorage(join(folder, 'data', 'jobs')));
    await artifacts.storeImage(jobId, readFileSync(cat), 0);
    const { video } = filesOf(artifacts, jobId);
    const generation = {
      prompt: 'waves',
      preset: 'fast',
      numInferenceSteps: 3,
      seed: 5,
      size: '64',
      maxBytes: 9_000_000,
      variation: { videoId: 'x'.repeat(24), strength: 0.5 },
    };
    const request = { id: jobId, userKey: 'discord:5', generation, replyTo: {} };
    await artifacts.storeAccepted(request, 1);
    copyFileSync(out, video);
    await artifacts.storeRecord(jobId, { ...made, videoId, bytes: readFileSync(video).length });
    return { videoId, pictureKey, artifacts };
  }
  let cacheFolder: string;
  beforeEach(() => {
    cacheFolder = join(folder, 'data', 'cache');
  });

  it('takes picture, preset, size, frames and prompt, until its person deletes their data', async () => {
    const { videoId, pictureKey, artifacts } = await madeForChat();
    const config = loadConfig({ KINORA_ENV_FILE: '/dev/null', KINORA_DATA_DIR: join(folder, 'data') });
    const pack = await loadPack(tinyPackPath);
    const find = async (id: string) => await findKeptVideo(config, pack, id);
    const options = { prompt: 'waves', preset: 'fast', numInferenceSteps: 3, size: '64x64', numFrames: 4 };
    for (const id of [videoId, jobId]) {
      const { image: imagePath, video: videoPath } = filesOf(artifacts, jobId);
      expect(await find(id)).toEqual({ videoId, imagePath, videoPath, seed: 5, options });
    }
    const varied = await runCli(['animate', 'pan left', '--from', jobId, '--json'], { folder });
    const made = JSON.parse(varied.stdout);
    expect(made).toMatchObject({
      prompt: 'pan left',
      preset: 'fast',
      width: 64,
      height: 64,
      cache: { hits: expect.arrayContaining(['image', 'video']) },
    });
    const extended = await runCli(['animate', 'pan left', '--extend', jobId, '--json'], { folder });
    // The frame that stands for the last one is left out.
    expect(JSON.parse(extended.stdout)).toMatchObject({ prompt: 'pan left', seed: 5, numFrames: 4 + 3 });
    const unfit = await runCli(['animate', '--extend', jobId, '--fps', '5'], { folder });
    expect(unfit.stderr).toContain('There is no option "fps"');
    await artifacts.remove(jobId);
    const pictureKeys = new Set([pictureKey]);
    const owned = { pictureKeys, fileHashes: new Set<string>(), videoIds: new Set([videoId]) };
    await forgetEntries(cacheFolder, namesOf(owned));
    expect(readdirSync(cacheFolder).filter((name) => !name.startsWith('prompt-'))).toEqual([]);
    for (const id of [videoId, jobId, made.videoId]) {
      await expect(find(id)).rejects.toMatchObject({ code: 'VIDEO_NOT_FOUND' });
    }
  });
});

describe('npm run', () => {
  const npm = {
    npm_package_json: fileURLToPath(new URL('../../package.json', import.meta.url)),
    npm_lifecycle_event: 'animate',
  };
  const project = fileURLToPath(new URL('../..', import.meta.url));

  it('finds the picture beside the caller, and puts the video there', async () => {
    copyFileSync(cat, join(folder, 'near.jpg'));
    const environment = { ...npm, INIT_CWD: folder, KINORA_DATA_DIR: join(folder, 'data') };
    const args = ['animate', 'near.jpg', 'zoom in', '--seed', '3', ...small];
    const { code } = await runCli(args, { folder: project, environment });
    expect(code).toBe(0);
    expect(files()).toContain('near-3.mp4');
  });

  it.each([
    [{ npm_config_preset: 'true', npm_config_loop: 'true' }, '--preset, --loop'],
    [{ npm_config_max_bytes: 'true', npm_config_metadata: '' }, '--max-bytes, --no-metadata'],
    [{ npm_config_parseable: 'true' }, '-p'],
  ])('names the options that npm took: %j', async (taken, named) => {
    const { code, stderr } = await runCli(['animate', cat, 'high'], {
      folder,
      environment: { ...npm, ...taken },
    });
    expect(stderr).toContain(
      `npm took ${named} for itself. Put "--" before the arguments: npm run animate -- `,
    );
    expect({ code, files: files() }).toEqual({ code: 2, files: [] });
  });
});

describe('bad input ends in a sentence, an exit code and no file', () => {
  const cases: readonly [string, number, readonly string[], RegExp][] = [
    ['a picture that is not there', 3, ['nope.jpg', 'zoom in'], /no picture at "nope.jpg".*Check the path/],
    ['a folder as picture', 3, ['.'], /is a folder/],
    ['a fraction of a frame', 2, [cat, '--frames', '9.5'], /whole number from 1 to 32/],
    ['a word for a number', 2, [cat, '--seed', 'abc'], /Expected a number/],
    [
      'an unknown preset',
      2,
      [cat, '--preset', 'best'],
      /expected one of fast, standard, high, creative\. Choose one of these/,
    ],
    ['no picture', 3, [], /^There is no picture to animate. Name one, such as: npm run animate -- /],
    ['an unknown option', 2, [cat, '--zoom'], /unknown option '--zoom'/],
    ['a binary prompt', 2, [cat, 'zoom\u0007in'], /not plain text/],
    ['two prompts', 2, [cat, 'zoom in', 'pan left'], /several prompts.*one pair of quotes/],
    ['strength without a video', 2, [cat, '--strength', '0.5'], /--from/],
    ['an unknown model', 4, [cat, '--model', 'nope'], /no model pack named "nope"/],
    ['a foreign folder as model', 4, [cat, '--model', './data'], /no model pack in/],
    [
      'a device that is not here',
      5,
      [cat, '--device', 'cuda'],
      /^Loading the model …\nThe device cuda .*npm run doctor.*\n$/,
    ],
    ['a device that is none', 2, [cat, '--device', 'gpu'], /device is "gpu"; expected auto, cpu, cuda/],
    [
      'a size limit that nothing fits',
      2,
      [cat, '--max-bytes', '10'],
      /size limit is 10 bytes.*at least 4096/,
    ],
    ['a size limit that is no number', 2, [cat, '--max-bytes', 'Infinity'], /size limit is Infinity/],
    ['an output folder that is not there', 7, [cat, '--out', 'no/where.mp4'], /There is no folder/],
    [
      'an output that not even root may write',
      7,
      [cat, '--out', '/proc/x.mp4', ...small],
      /(x\.mp4 cannot|The folder \/proc may not) be written/,
    ],
    ['a video that is forgotten', 2, [cat, '--from', 'nope', ...small], /no longer kept/],
  ];
  it.each(cases)('%s', async (_name, exitCode, args, sentence) => {
    const { code, stdout, stderr } = await runCli(['animate', ...args], { folder });
    expect(stderr).toMatch(sentence);
    expect(stderr).not.toMatch(/\n\s+at |node:internal/);
    expect({ code, stdout, files: files() }).toEqual({ code: exitCode, stdout: '', files: [] });
  });

  // Every kind is tried on the decoder itself; here a few go all the way, with one that is fine among them.
  it('and so does each bad picture of a batch', async () => {
    const pictures: readonly [string, RegExp][] = [
      ['empty.jpg', /empty file/],
      ['truncated.jpg', /cannot be decoded/],
      ['bomb.png', /at most 200 megapixels/],
      ['one-pixel.png', /at least 8 x 8/],
      ['photo.heic', /HEIC.*expected JPEG, PNG or WebP/],
      ['drawing.svg', /SVG/],
      ['paper.pdf', /PDF/],
    ];
    const bad = pictures.map(([name]) => picture(name));
    const { code, stderr } = await runCli(['animate', ...bad, cat, 'zoom in', '--quiet', ...small], {
      folder,
    });
    const lines = stderr.trim().split('\n');
    expect(lines).toHaveLength(pictures.length);
    for (const [name, sentence] of pictures) {
      const line = lines.find((one) => one.startsWith(`${picture(name)}: `));
      expect(line).toMatch(sentence);
    }
    expect({ code, files: files().length }).toEqual({ code: 3, files: 1 });
  });

  it('a setting that is out of range', async () => {
    const { code, stderr } = await runCli(['animate', cat], {
      folder,
      environment: { KINORA_THREADS: '-3' },
    });
    expect(code).toBe(2);
    expect(stderr).toMatch(/KINORA_THREADS/);
  });
});

it('unusual pictures that are fine become videos', async () => {
  const names = ['cmyk.jpg', 'rgb-16-bit.png', 'wrong-extension.png', 'animated.webp', 'palette-alpha.png'];
  const { code, stdout } = await runCli(['animate', ...names.map(picture), 'zoom in', '--json', ...small], {
    folder,
  });
  const { videos } = JSON.parse(stdout) as { videos: { notes: string[]; cut?: object }[] };
  expect(videos.map(({ notes }) => notes.length)).toEqual([0, 0, 0, 1, 0]);
  expect(videos[0]?.cut).toEqual({
    of: expect.stringMatching(/^(width|height)$/),
    percent: expect.any(Number),
  });
  expect({ code, count: files().length }).toEqual({ code: 0, count: names.length });
});

it('the README says what the exit codes mean', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8').replaceAll('`', '');
  const rows = [...readme.matchAll(/^\| (\d+) +\| (.+?) +\|$/gm)].map(([, code, meaning]) => [code, meaning]);
  const known = describeExitCodes()
    .split('\n')
    .map((line) => /^ *(\d+) {2}(.+?)(?: \([A-Z_, ]+\))?$/.exec(line)?.slice(1));
  expect(rows).toEqual(known);
});

describe('arguments', () => {
  it('are pictures when first, when they exist, or when they end like one', async () => {
    expect(await splitArguments(['a', 'zoom in'])).toEqual({ images: ['a'], prompt: 'zoom in' });
    expect(await splitArguments([cat, 'b.PNG', 'zoom'])).toEqual({ images: [cat, 'b.PNG'], prompt: 'zoom' });
    expect(await splitArguments([cat, coffee])).toEqual({ images: [cat, coffee], prompt: undefined });
  });
});

describe('the other commands', () => {
  it('doctor finds nothing wrong here, and names what is', async () => {
    const healthy = await runCli(['doctor', '--json'], { folder });
    expect(JSON.parse(healthy.stdout).checks.map((check: { state: string }) => check.state)).not.toContain(
      'fail',
    );
    expect(healthy.code).toBe(0);
    const sick = await runCli(['doctor'], {
      folder,
      environment: {
        FFMPEG_PATH: '/nowhere/ffmpeg',
        REDIS_URL: 'redis://127.0.0.1:1',
        KINORA_DEVICE: 'cuda',
      },
    });
    expect(sick.stdout).toMatch(/✖ ffmpeg .*\n\s+→ .*ffmpeg/);
    expect(sick.stdout).toMatch(/✖ Redis .*\n\s+→ /);
    expect(sick.stdout).toMatch(/✖ device .*\n\s+→ /);
    expect(sick.code).toBe(1);
  });

  it('models path says where the pack lies, for whoever wants to look', async () => {
    const { code, stdout } = await runCli(['models', 'path', 'builtin'], { folder });
    expect(readdirSync(stdout.trim())).toContain('kinora.json');
    expect(code).toBe(0);
    const nowhere = await runCli(['models', 'path', 'nope'], { folder });
    expect({ code: nowhere.code, stdout: nowhere.stdout }).toEqual({ code: 4, stdout: '' });
  });

  it('models verify finds a changed byte', async () => {
    const intact = await runCli(['models', 'verify'], { folder });
    expect(intact.stdout).toMatch(/all \d+ files are intact/);

    const copy = join(folder, 'packs', 'copy');
    cpSync(tinyPackPath, copy, { recursive: true });
    const decoder = join(copy, 'vae_decoder', 'model.onnx');
    const bytes = readFileSync(decoder);
    bytes.writeUInt8(bytes.readUInt8(1000) ^ 1, 1000);
    writeFileSync(decoder, bytes);
    const environment = { KINORA_MODELS_DIR: join(folder, 'packs'), KINORA_MODEL: 'copy' };
    const list = await runCli(['models', 'list'], { folder, environment });
    expect(list.stdout).toMatch(/\* copy +Tiny I2VGen-XL/);
    expect(list.stdout).toMatch(/ tiny-i2vgen-xl, family i2vgen-xl, plain, \d+ MB, licence MIT\n/);
    const altered = await runCli(['models', 'verify'], { folder, environment });
    expect(altered.stdout).toMatch(/vae_decoder\/model.onnx differs/);
    expect(altered.code).toBe(4);
    const used = await runCli(['animate', cat, ...small], { folder, environment });
    expect(used.stderr).toMatch(/damaged: vae_decoder/);
    expect(used.code).toBe(4);
  });
});
