/** The options that save time, end to end: from a command line or a setting to the file that was made with them. */
import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ffprobe from '@ffprobe-installer/ffprobe';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../src/engine/supervisor.ts';
import { loadPack } from '../src/inference/packs/files.ts';
import { Artifacts } from '../src/queue/artifacts.ts';
import { jobRequestSchema } from '../src/queue/jobs.ts';
import type { Generation, Shortcuts } from '../src/request/request.ts';
import { FolderStorage } from '../src/storage/folder-storage.ts';
import { findFfmpeg } from '../src/video/ffmpeg-path.ts';
import { engineGenerate } from '../src/worker/generate.ts';
import { filesOf } from './helpers/job-files.ts';
import { makeReusePack, reusePackId } from './helpers/other-packs.ts';
import { runCli } from './helpers/run-cli.ts';

const cat = fileURLToPath(new URL('../examples/cat.jpg', import.meta.url));
const small = ['--size', '64', '--frames', '3', '--steps', '4', '--seed', '1'];

let folder: string;
let packFolder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'kinora-shortcuts-'));
  packFolder = await makeReusePack();
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await rm(packFolder, { recursive: true, force: true });
});

/** What the file says about itself. */
function metadataOf(file: string): Record<string, string> {
  const args = ['-v', 'error', '-show_format', '-of', 'json', file];
  const { format } = JSON.parse(execFileSync(ffprobe.path, args, { encoding: 'utf8' })) as {
    format: { tags?: Record<string, string> };
  };
  return JSON.parse(format.tags?.['comment'] ?? '{}') as Record<string, string>;
}

interface Made {
  readonly out: string;
  readonly videoId: string;
}

async function animate(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Made> {
  const { code, stdout, stderr } = await runCli(['animate', cat, 'zoom in', '--json', ...small, ...args], {
    folder,
    environment: { KINORA_MODEL: packFolder, ...environment },
  });
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Made;
}

describe('kinora animate', () => {
  it('takes them as options and as settings; an option wins over a setting', async () => {
    const exact = await animate(['-q']);
    expect(exact).toMatchObject({ scheduler: 'ddim', guidanceEnd: 1, featureReuse: 1, model: reusePackId });
    expect(metadataOf(exact.out)).not.toHaveProperty('featureReuse');

    const chosen = { scheduler: 'dpm++2m', guidanceEnd: 0.5, featureReuse: 2 };
    const asked = await animate(['--scheduler', 'dpm++2m', '--guidance-end', '0.5', '--reuse', '2']);
    expect(asked).toMatchObject(chosen);
    expect(metadataOf(asked.out)).toMatchObject({
      scheduler: 'dpm++2m',
      guidanceEnd: '0.5',
      featureReuse: '2',
      numInferenceSteps: '4',
    });
    const environment = { KINORA_SCHEDULER: 'dpm++2m', KINORA_GUIDANCE_END: '0.5', KINORA_REUSE: '2' };
    const set = await animate([], environment);
    expect(set).toMatchObject({ ...chosen, videoId: asked.videoId });

    const options = ['--scheduler', 'ddim', '--guidance-end', '1', '--reuse', '1'];
    expect((await animate(options, environment)).videoId).toBe(exact.videoId);
  });

  it.each([
    [
      'a pack without a shallow core',
      ['--reuse', '2'],
      {},
      /tiny-i2vgen-xl was exported without --deepcache/,
    ],
    ['a setting for such a pack', [], { KINORA_REUSE: '3' }, /KINORA_REUSE is 3, but the model pack/],
    [
      'a number that is none of them',
      ['--reuse', '5'],
      {},
      /reuse of features is 5; expected 1 \(none\), 2 or 3/,
    ],
  ])('refuses %s', async (_name, args, environment, sentence) => {
    const { code, stderr } = await runCli(['animate', cat, ...args], { folder, environment });
    expect(stderr).toMatch(sentence);
    expect(code).toBe(2);
  });
});

it.each([
  [
    'KINORA_REUSE',
    '2',
    /KINORA_REUSE is 2, but the model pack tiny-i2vgen-xl was exported without --deepcache/,
  ],
  ['KINORA_SCHEDULER', 'euler', /KINORA_SCHEDULER is euler; .* tiny-i2vgen-xl knows ddim and dpm\+\+2m/],
])(
  'kinora start refuses a %s that its model pack cannot do, before anything is started',
  async (name, value, sentence) => {
    const environment = { [name]: value, KINORA_INBOX: path.join(folder, 'inbox') };
    const { code, stderr } = await runCli(['start'], { folder, environment });
    expect(stderr).toMatch(sentence);
    expect(code).toBe(2);
  },
);

it('jobs from chats use what the operator chose', async () => {
  const pack = await loadPack(packFolder);
  const { path: ffmpegPath } = await findFfmpeg({});
  const engine = Engine.start({
    packPath: packFolder,
    device: 'cpu',
    threads: 2,
    cachePath: path.join(folder, 'cache'),
    cacheMemoryBytes: 1e8,
    cacheDiskBytes: 0,
    ffmpegPath,
  });
  const artifacts = new Artifacts(new FolderStorage(path.join(folder, 'jobs')));
  const hooks = { signal: new AbortController().signal, onProgress: () => {} };
  const make = async (id: string, shortcuts?: Shortcuts): Promise<{ file: string; videoId: string }> => {
    const files = filesOf(artifacts, id);
    await mkdir(files.folder, { recursive: true });
    await copyFile(cat, files.image);
    const generation: Generation = { prompt: 'zoom in', preset: 'fast', seed: 1, size: '64', numFrames: 2 };
    const request = jobRequestSchema.parse({ id, userKey: 'test:ann', generation, replyTo: {} });
    const entry = { id, request, state: 'running', preset: 'fast', cost: 1, priority: 1 } as const;
    const times = { createdAt: 0, starts: 1 };
    const { videoId } = await engineGenerate(
      engine,
      [pack],
      true,
      shortcuts,
    )({ ...entry, ...times }, files, hooks);
    return { file: files.video, videoId };
  };
  try {
    const exact = await make('t-exact');
    expect(metadataOf(exact.file)).not.toHaveProperty('featureReuse');
    // The defaults of the settings are the exact path, to the last bit.
    expect((await make('t-defaults', { guidanceEnd: 1, featureReuse: 1 })).videoId).toBe(exact.videoId);
    const quick = await make('t-quick', { scheduler: 'dpm++2m', guidanceEnd: 0.5, featureReuse: 3 });
    expect(metadataOf(quick.file)).toMatchObject({
      scheduler: 'dpm++2m',
      guidanceEnd: '0.5',
      featureReuse: '3',
    });
  } finally {
    await engine.stop();
  }
});
