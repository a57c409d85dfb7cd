import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isKinoraError } from '../../../src/errors.ts';
import { findPacks, loadPack, verifyPack } from '../../../src/inference/packs/files.ts';
import { type PackManifest, packManifestSchema } from '../../../src/inference/packs/manifest.ts';
import { openPack } from '../../../src/inference/packs/open.ts';
import { svdPackPath, tinyPackPath } from '../../helpers/golden.ts';
import { loadI2VGenXL } from '../../helpers/i2vgen-xl-pack.ts';

const onCpu = { device: 'cpu', threads: 1 };
const eulerOfBetas = JSON.stringify({
  _class_name: 'EulerDiscreteScheduler',
  prediction_type: 'v_prediction',
});
let root: string;
let copies = 0;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'kinora-packs-'));
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

/** The manifest as plain JSON that tests may bend. */
type Json = Record<string, unknown> & { files: { path: string; bytes: number; sha256: string }[] };

async function copyPack(original = tinyPackPath): Promise<string> {
  const folder = path.join(root, String(copies++), 'pack');
  await cp(original, folder, { recursive: true });
  return folder;
}

async function editManifest(folder: string, edit: (manifest: Json) => void): Promise<void> {
  const file = path.join(folder, 'kinora.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Json;
  edit(manifest);
  await writeFile(file, JSON.stringify(manifest));
}

/** Writes a file and vouches for it in the manifest: the pack is intact, but not what its family needs. */
async function replaceFile(folder: string, name: string, bytes: Buffer): Promise<void> {
  await writeFile(path.join(folder, name), bytes);
  await editManifest(folder, ({ files }) => {
    const entry = files.find((file) => file.path === name);
    if (!entry) throw new Error(`${name} is not listed`);
    entry.bytes = bytes.length;
    entry.sha256 = createHash('sha256').update(bytes).digest('hex');
  });
}

async function errorOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = await work.then(
    () => new Error('it was accepted'),
    (e: unknown) => e,
  );
  if (!isKinoraError(error)) throw error;
  return error;
}

const set = (manifest: Json, where: string, value: unknown): void => {
  const keys = where.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce<Record<string, unknown>>(
    (object, key) => object[key] as Record<string, unknown>,
    manifest,
  );
  if (value === undefined) delete parent[last];
  else parent[last] = value;
};

describe('the tiny pack', () => {
  it('is intact and opens', async () => {
    const pack = await loadI2VGenXL(tinyPackPath);
    expect(await verifyPack(pack)).toEqual([]);
    const opened = await openPack(pack, onCpu);
    expect(Object.keys(opened.sessions)).toHaveLength(6);
    expect(opened.tokenizer?.maxTokens).toBe(pack.manifest.architecture.maxTokens);
    await opened.release();
  });
});

describe('finding packs', () => {
  it('lists every folder with a manifest, says what is wrong with the broken ones, and lets the first folder win', async () => {
    const first = path.join(root, 'models-a');
    const second = path.join(root, 'models-b');
    await cp(tinyPackPath, path.join(first, 'good'), { recursive: true });
    await cp(tinyPackPath, path.join(second, 'good'), { recursive: true });
    await mkdir(path.join(first, 'broken'));
    await writeFile(path.join(first, 'broken', 'kinora.json'), '{');
    await mkdir(path.join(first, 'no-pack'));
    await writeFile(path.join(first, 'README.md'), '');

    const found = await findPacks([first, path.join(root, 'nowhere'), second]);
    expect(found.map(({ name, folder }) => [name, folder])).toEqual([
      ['broken', path.join(first, 'broken')],
      ['good', path.join(first, 'good')],
    ]);
    expect(found[0]?.pack).toMatchObject({ code: 'PACK_INVALID' });
    expect(found[1]?.pack).toMatchObject({ manifest: { id: 'tiny-i2vgen-xl' } });
  });

  it('says where it looked when there is none', async () => {
    const error = await errorOf(loadPack(path.join(root, 'nothing here')));
    expect(error.code).toBe('PACK_NOT_FOUND');
    expect(error.message).toContain('nothing here');
  });
});

describe('a manifest that cannot be believed is refused, naming the field', () => {
  const cases: readonly (readonly [where: string, value: unknown])[] = [
    ['kinora', 2],
    ['id', '../../etc'],
    ['id', undefined],
    ['title', 'two\nlines'],
    ['title', '\u001b[2J'],
    ['family', 'sdxl'],
    ['flavour', 'fast'],
    ['unknown', 1],
    ['architecture.latentChannels', 1e9],
    ['architecture.latentChannels', 0],
    ['architecture.vaeScaleFactor', 2.5],
    ['architecture.vaeScalingFactor', 0],
    ['architecture.maxTokens', -1],
    ['architecture.imageEncoderSize', 1e6],
    ['architecture.imageStd', [0, 1, 1]],
    ['architecture.imageMean', [0, 1]],
    ['sizeMultiple', 60], // not a multiple of the VAE's 8
    ['sizeMultiple', 0],
    ['limits.side', { min: 64, max: 1e12 }],
    ['limits.side', { min: 512, max: 64 }],
    ['limits.pixels', { min: 1, max: 1e300 }],
    ['limits.numFrames', { min: 1, max: 1e6 }],
    ['limits.numFrames', { min: 1.5, max: 16 }],
    ['limits.guidanceScale', { min: -5, max: 20 }],
    ['motionFps.high', 1000],
    ['defaults.fps', 0],
    ['defaults.decodeChunkSize', 1e9],
    ['defaults.prompt', 'x'.repeat(2000)],
    ['presets', { turbo: { size: 64, numFrames: 4, numInferenceSteps: 3, guidanceScale: 9 } }],
    ['presets.fast.size', 1e9],
    ['motions', []],
    ['motions', ['waves', 'zoom-in', 'waves']],
    ['motions', ['a horse galloping']],
    ['files', []],
    ['files', 'all'],
  ];
  it.each(cases)('%s = %j', async (where, value) => {
    const folder = path.join(root, String(copies++));
    await mkdir(folder);
    await cp(path.join(tinyPackPath, 'kinora.json'), path.join(folder, 'kinora.json'));
    await editManifest(folder, (manifest) => set(manifest, where, value));
    const error = await errorOf(loadPack(folder));
    expect(error.code).toBe('PACK_INVALID');
    expect(error.message).toContain(path.join(folder, 'kinora.json'));
    expect(error.message).toContain(
      where.split('.').at(0) === 'unknown' ? 'unknown' : where.split('.').at(0),
    );
  });

  it.each([
    '../secret',
    'a/../../secret',
    '/etc/passwd',
    'C:/windows/system.ini',
    'c:secret',
    '..\\secret',
    'unet_core\\model.onnx',
    './model.onnx',
    'a//b',
    'a/',
    '',
    'a\0b',
    'a\nb',
    'a'.repeat(600),
  ])('a listed path %j leaves the pack or means different things to different systems', async (listed) => {
    const folder = path.join(root, String(copies++));
    await mkdir(folder);
    await cp(path.join(tinyPackPath, 'kinora.json'), path.join(folder, 'kinora.json'));
    await editManifest(folder, ({ files }) => {
      files.push({ path: listed, bytes: 1, sha256: '0'.repeat(64) });
    });
    expect(await errorOf(loadPack(folder))).toMatchObject({
      code: 'PACK_INVALID',
      message: expect.stringContaining('files'),
    });
  });

  it.each([
    ['not JSON', 'hello'],
    ['a list', '[]'],
    ['null', 'null'],
    ['empty', ''],
    ['endless', `{"kinora":1,"title":"${'x'.repeat(5_000_000)}"}`],
    ['deep', '['.repeat(100_000)],
  ])('%s', async (_name, text) => {
    const folder = path.join(root, String(copies++));
    await mkdir(folder);
    await writeFile(path.join(folder, 'kinora.json'), text);
    expect((await errorOf(loadPack(folder))).code).toBe('PACK_INVALID');
  });

  it('a folder in its place', async () => {
    const folder = path.join(root, String(copies++));
    await mkdir(path.join(folder, 'kinora.json'), { recursive: true });
    expect((await errorOf(loadPack(folder))).code).toBe('PACK_INVALID');
  });

  it.each(['unet_core/model.onnx', 'tokenizer/tokenizer.json', 'scheduler/scheduler_config.json'])(
    '%s is not listed, so nobody vouches for it',
    async (name) => {
      const folder = path.join(root, String(copies++));
      await mkdir(folder);
      await cp(path.join(tinyPackPath, 'kinora.json'), path.join(folder, 'kinora.json'));
      await editManifest(folder, (manifest) => {
        manifest.files = manifest.files.filter((file) => file.path !== name);
      });
      expect((await errorOf(loadPack(folder))).message).toContain(`${name} is not listed`);
    },
  );
});

describe('a pack whose files are not the published ones is refused before anything is loaded', () => {
  const file = 'vae_decoder/model.onnx';
  const damages: readonly (readonly [string, string, (folder: string) => Promise<unknown>])[] = [
    ['a missing file', 'is missing', (folder) => unlink(path.join(folder, file))],
    ['a cut file', 'has 1000 bytes, expected', (folder) => truncate(path.join(folder, file), 1000)],
    [
      'one changed bit',
      'SHA-256',
      async (folder) => {
        const bytes = await readFile(path.join(folder, file));
        bytes[5000] = (bytes[5000] ?? 0) ^ 1;
        await writeFile(path.join(folder, file), bytes);
      },
    ],
    [
      'a folder instead of a file',
      'is not a file',
      async (folder) => {
        await unlink(path.join(folder, file));
        await mkdir(path.join(folder, file));
      },
    ],
    [
      'a link to outside',
      'links to outside',
      async (folder) => {
        await unlink(path.join(folder, file));
        await symlink(path.join(tinyPackPath, file), path.join(folder, file));
      },
    ],
    [
      'a folder that is a link to outside',
      'links to outside',
      async (folder) => {
        await rm(path.join(folder, 'vae_decoder'), { recursive: true });
        await symlink(path.join(tinyPackPath, 'vae_decoder'), path.join(folder, 'vae_decoder'));
      },
    ],
    [
      'a link to a neighbour whose name begins like the pack',
      'links to outside',
      async (folder) => {
        await cp(path.join(tinyPackPath, 'vae_decoder'), `${folder}-two/vae_decoder`, { recursive: true });
        await rm(path.join(folder, 'vae_decoder'), { recursive: true });
        await symlink(`${folder}-two/vae_decoder`, path.join(folder, 'vae_decoder'));
      },
    ],
    [
      'weights that nobody listed',
      'vae_decoder/model.onnx_data is not listed',
      (folder) => writeFile(path.join(folder, 'vae_decoder/model.onnx_data'), 'x'),
    ],
  ];
  it.each(damages)('%s', async (_name, words, damage) => {
    const folder = await copyPack();
    await damage(folder);
    const pack = await loadPack(folder);
    const problems = await verifyPack(pack);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(words);
    expect(problems[0]).toContain('vae_decoder/model.onnx');
    const error = await errorOf(openPack(pack, onCpu));
    expect(error).toMatchObject({ code: 'PACK_INVALID', message: expect.stringContaining(words) });
  });

  it('but notes beside the manifest, dot files and links within the pack are fine', async () => {
    const folder = await copyPack();
    await writeFile(path.join(folder, 'README.md'), 'notes');
    await writeFile(path.join(folder, 'tokenizer', '.DS_Store'), '');
    await cp(path.join(folder, file), path.join(folder, 'blob'));
    await unlink(path.join(folder, file));
    await symlink('../blob', path.join(folder, file));
    expect(await verifyPack(await loadPack(folder))).toEqual([]);
  });

  it('and the whole check reports every problem and its progress', async () => {
    const folder = await copyPack();
    await unlink(path.join(folder, file));
    await truncate(path.join(folder, 'tokenizer/tokenizer.json'), 10);
    const progress: number[] = [];
    const pack = await loadPack(folder);
    const problems = await verifyPack(pack, ({ bytesDone, bytesTotal }) =>
      progress.push(bytesDone / bytesTotal),
    );
    expect(problems).toHaveLength(2);
    expect(progress).toHaveLength(pack.manifest.files.length);
    expect(progress.at(-1)).toBe(1);
  });
});

describe('a pack of Stable Video Diffusion', () => {
  it('opens without a tokenizer and without a text encoder', async () => {
    const opened = await openPack(await loadPack(svdPackPath), onCpu);
    expect(opened.tokenizer).toBeUndefined();
    expect(Object.keys(opened.sessions)).not.toContain('text_encoder');
    await opened.release();
  });

  it.each([
    ['scheduler of DDIM', 'scheduler/scheduler_config.json', '{}', /not one of the family svd/],
    [
      'scheduler of other levels',
      'scheduler/scheduler_config.json',
      eulerOfBetas,
      /use_karras_sigmas = missing/,
    ],
  ])('with a %s is refused', async (_name, file, text, words) => {
    const folder = await copyPack(svdPackPath);
    await replaceFile(folder, file, Buffer.from(text));
    const error = await errorOf(openPack(await loadPack(folder), onCpu));
    expect(error.code).toBe('PACK_INVALID');
    expect(error.message).toMatch(words);
  });

  it('with a core of another family is refused', async () => {
    const folder = await copyPack(svdPackPath);
    const core = await readFile(path.join(tinyPackPath, 'unet_core/model.onnx'));
    await replaceFile(folder, 'unet_core/model.onnx', core);
    const error = await errorOf(openPack(await loadPack(folder), onCpu));
    expect(error.code).toBe('PACK_INVALID');
    expect(error.message).toMatch(/unet_core.*expected sample, timestep, image_latents, cond_emb/);
  });
});

describe('an intact pack that is not what its family needs is refused, naming file and mismatch', () => {
  const graphs: readonly (readonly [string, string, RegExp])[] = [
    [
      'vae_encoder',
      'vae_decoder',
      /outputs? (?:are sample, expected moments)|inputs are latent, expected sample/,
    ],
    ['unet_core', 'unet_cond', /inputs are .*, expected sample, timestep/],
    ['text_encoder', 'image_encoder', /inputs are pixel_values, expected input_ids/],
  ];
  it.each(graphs)('%s holds %s', async (graph, other, words) => {
    const folder = await copyPack();
    const name = `${graph}/model.onnx`;
    await replaceFile(folder, name, await readFile(path.join(folder, other, 'model.onnx')));
    const error = await errorOf(openPack(await loadPack(folder), onCpu));
    expect(error.code).toBe('PACK_INVALID');
    expect(error.message).toContain(path.join(folder, name));
    expect(error.message).toMatch(words);
  });

  it.each([
    ['architecture.latentChannels', 8, /vae_encoder.*moments has size 8 on axis 1, expected 16/],
    ['architecture.imageEncoderSize', 224, /image_encoder.*pixel_values has size 56 on axis 2, expected 224/],
    ['architecture.maxTokens', 64, /tokenizer.*77 tokens.*64/],
  ])('the manifest says %s = %d', async (where, value, words) => {
    const folder = await copyPack();
    await editManifest(folder, (manifest) => set(manifest, where, value));
    const error = await errorOf(openPack(await loadPack(folder), onCpu));
    expect(error.code).toBe('PACK_INVALID');
    expect(error.message).toMatch(words);
  });

  it.each([
    ['unet_core/model.onnx', 'not a model'],
    ['tokenizer/tokenizer.json', '{}'],
    ['tokenizer/tokenizer_config.json', 'not JSON'],
    ['scheduler/scheduler_config.json', '{"beta_schedule":"sigmoid"}'],
  ])('%s holds %j', async (name, text) => {
    const folder = await copyPack();
    await replaceFile(folder, name, Buffer.from(text));
    const error = await errorOf(openPack(await loadPack(folder), onCpu));
    expect(error.code).toBe('PACK_INVALID');
    expect(error.message).toContain(path.basename(name));
  });

  it('a pack for CUDA only is refused on other devices', async () => {
    const folder = await copyPack();
    await editManifest(folder, (manifest) => set(manifest, 'flavour', 'cuda'));
    const error = await errorOf(openPack(await loadPack(folder), onCpu));
    expect(error).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('CUDA only'),
    });
  });
});

describe('mutated packs', () => {
  /** Small, seeded, good enough to choose bytes. */
  function randomNumbers(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
  }

  it('one thousand bent manifests are refused with a code, or are still sound', async () => {
    const folder = path.join(root, String(copies++));
    await mkdir(folder);
    const original = await readFile(path.join(tinyPackPath, 'kinora.json'));
    const pick = randomNumbers(2026);
    const values = [
      '-1',
      '0',
      '1e308',
      '1e999',
      '""',
      'null',
      '[]',
      '{}',
      'true',
      '"\\u0000"',
      '"../x"',
      '9'.repeat(400),
    ];
    let accepted = 0;
    for (let round = 0; round < 1000; round++) {
      let bytes = Buffer.from(original);
      const kind = pick(4);
      const at = pick(bytes.length);
      if (kind === 0) bytes[at] = pick(256);
      else if (kind === 1) bytes = bytes.subarray(0, at);
      else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + pick(200))]);
      else {
        // Another value in the place of one.
        const text = bytes.toString();
        const colon = text.indexOf(':', at);
        const end = text.slice(colon + 1).search(/[,}\n]/);
        if (colon < 0 || end < 0) continue;
        const value = values[pick(values.length)] ?? '0';
        bytes = Buffer.from(text.slice(0, colon + 1) + value + text.slice(colon + 1 + end));
      }
      await writeFile(path.join(folder, 'kinora.json'), bytes);
      const result = await loadPack(folder).then(
        (pack) => pack.manifest,
        (error: unknown) => error,
      );
      if (result instanceof Error) {
        expect(isKinoraError(result) && result.code).toBe('PACK_INVALID');
        expect(result.message.length).toBeLessThan(1000);
      } else {
        accepted++;
        expect(packManifestSchema.parse(result)).toEqual(result);
        expectSane(result as PackManifest);
      }
    }
    expect(accepted).toBeLessThan(500);
  });

  function expectSane({ limits, sizeMultiple, architecture }: PackManifest): void {
    expect(limits.side.max / sizeMultiple).toBeLessThanOrEqual(8192);
    expect(sizeMultiple % architecture.vaeScaleFactor).toBe(0);
    for (const { min, max } of Object.values(limits)) expect(min).toBeLessThanOrEqual(max);
  }

  it('two hundred damaged files are found before native code reads them', async () => {
    const folder = await copyPack();
    const pack = await loadPack(folder);
    const pick = randomNumbers(7);
    for (let round = 0; round < 200; round++) {
      const { path: name = '' } = pack.manifest.files[pick(pack.manifest.files.length)] ?? {};
      const file = path.join(folder, name);
      const original = await readFile(file);
      const bytes = Buffer.from(original);
      const at = pick(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << pick(8));
      await writeFile(file, round % 3 === 0 ? bytes.subarray(0, at) : bytes);
      const error = await errorOf(openPack(pack, onCpu));
      expect(error.code).toBe('PACK_INVALID');
      expect(error.message).toContain(name);
      await writeFile(file, original);
    }
    expect(await verifyPack(pack)).toEqual([]);
  });
});
