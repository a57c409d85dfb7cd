import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorCatalogue, isKinoraError } from '../../../src/errors.ts';
import { parseDevice } from '../../../src/inference/devices/device.ts';
import { isFinite32 } from '../../../src/inference/sessions/finite.mjs';
import { OnnxSession } from '../../../src/inference/sessions/session.ts';
import { tinyPackPath } from '../../helpers/golden.ts';

const modelPath = (graph: string): string => path.join(tinyPackPath, graph, 'model.onnx');
const onCpu = { device: 'cpu', threads: 1 };
const latent = (value = 0) => ({
  latent: { data: new Float32Array(4 * 64).fill(value), dims: [1, 4, 8, 8] },
});

let folder: string;
let decoder: OnnxSession;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'kinora-session-'));
  decoder = await OnnxSession.open('vae_decoder', modelPath('vae_decoder'), onCpu);
});
afterAll(async () => {
  await decoder.release();
  await rm(folder, { recursive: true, force: true });
});

it('says what goes in and what comes out', async () => {
  const core = await OnnxSession.open('unet_core', modelPath('unet_core'), onCpu);
  const described = Object.fromEntries(
    core.inputs.map(({ name, type, dims }) => [name, [type, dims.length]]),
  );
  expect(described).toEqual({
    sample: ['float32', 5],
    timestep: ['int64', 1],
    encoder_hidden_states: ['float32', 3],
    fps_emb: ['float32', 2],
    context: ['float32', 3],
    image_latents_enc: ['float32', 5],
    factors: ['float32', 1],
  });
  expect(core.inputs.find((spec) => spec.name === 'sample')?.dims[1]).toBe(4); // fixed
  expect(core.inputs.find((spec) => spec.name === 'sample')?.dims[2]).toBeTypeOf('string'); // free
  expect(core.outputs.map((spec) => spec.name)).toEqual(['out_sample']);
  await core.release();
});

it('adds up the time that it spends in the runtime', async () => {
  const before = decoder.runMs;
  const startedAt = performance.now();
  await decoder.run(latent());
  const wallMs = performance.now() - startedAt;
  expect(decoder.runMs).toBeGreaterThan(before);
  expect(decoder.runMs - before).toBeLessThanOrEqual(wallMs);
});

describe('numbers that are not finite', () => {
  it('are found wherever they are', () => {
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      for (const at of [0, 1, 500, 998, 999]) {
        const data = new Float32Array(1000).fill(1.5);
        data[at] = bad;
        expect(isFinite32(data)).toBe(false);
      }
    }
    expect(isFinite32(Float32Array.of(Infinity, -Infinity))).toBe(false);
  });

  it('are not confused with large, small or no numbers', () => {
    expect(isFinite32(new Float32Array(1000).fill(3.4028234e38))).toBe(true);
    expect(isFinite32(Float32Array.of(-3.4e38, 1e-45, -0, 0))).toBe(true);
    expect(isFinite32(new Float32Array(0))).toBe(true);
  });

  it('end a run with the name of the session', async () => {
    await expect(decoder.run(latent(Number.NaN))).rejects.toMatchObject({
      code: 'BAD_NUMBERS',
      message: expect.stringContaining('vae_decoder'),
    });
    await expect(decoder.run(latent(1))).resolves.toHaveProperty('sample');
  });
});

describe('a run that cannot be', () => {
  it.each([
    ['a missing input', {}],
    ['a wrong shape', { latent: { data: new Float32Array(5 * 64), dims: [1, 5, 8, 8] } }],
    ['a wrong type', { latent: { data: new BigInt64Array(4 * 64), dims: [1, 4, 8, 8] } }],
    ['too little data', { latent: { data: new Float32Array(4 * 63), dims: [1, 4, 8, 8] } }],
  ])('%s is refused, and the session lives on', async (_name, feeds) => {
    const error = await decoder.run(feeds as Parameters<OnnxSession['run']>[0]).catch((e: unknown) => e);
    expect(isKinoraError(error)).toBe(true);
    expect(String(error)).toContain('vae_decoder');
    await expect(decoder.run(latent())).resolves.toHaveProperty('sample');
  });

  // Real allocations that fail, in a process of its own; Linux has the tool for it.
  it.runIf(process.platform === 'linux')('for want of memory says so, and a smaller one then works', () => {
    const script = fileURLToPath(new URL('../../helpers/session-memory.ts', import.meta.url));
    const output = execFileSync(process.execPath, ['--import', 'tsx', script, modelPath('vae_decoder')], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(JSON.parse(output.trim().split('\n').at(-1) ?? '')).toEqual(['ok', 'OUT_OF_MEMORY', 'ok']);
  });
});

describe('a file that is no model', () => {
  const cases: readonly (readonly [string, (whole: Buffer) => Buffer])[] = [
    ['empty', () => Buffer.alloc(0)],
    ['text', () => Buffer.from('<html>404 Not Found</html>')],
    ['cut off', (whole) => whole.subarray(0, 100_000)],
    [
      'a pointer of Git LFS',
      () => Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n'),
    ],
  ];
  it.each(cases)('%s: the sentence names it', async (name, damage) => {
    const file = path.join(folder, `${name}.onnx`);
    await writeFile(file, damage(await readFile(modelPath('vae_decoder'))));
    const error = await OnnxSession.open('vae_decoder', file, onCpu).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'PACK_INVALID' });
    expect(String(error)).toContain(file);
    expect(String(error)).not.toContain('/onnxruntime_src/');
  });

  it('missing: the sentence names it', async () => {
    const file = path.join(folder, 'missing.onnx');
    await expect(OnnxSession.open('vae_decoder', file, onCpu)).rejects.toMatchObject({
      code: 'PACK_INVALID',
      message: expect.stringContaining('missing.onnx'),
    });
  });
});

describe('devices', () => {
  it('are read by name and number', () => {
    expect(parseDevice('cpu')).toEqual({ kind: 'cpu', ordinal: 0 });
    expect(parseDevice('cuda')).toEqual({ kind: 'cuda', ordinal: 0 });
    expect(parseDevice('cuda:12')).toEqual({ kind: 'cuda', ordinal: 12 });
    expect(parseDevice('tensorrt:1')).toEqual({ kind: 'tensorrt', ordinal: 1 });
    expect(parseDevice('webgpu')).toEqual({ kind: 'webgpu', ordinal: 0 });
  });

  it.each([
    '',
    'gpu',
    'CPU',
    'cpu:1',
    'cuda:',
    'cuda:-1',
    'cuda:1.5',
    'cuda:123',
    'cuda 1',
    'webgpu:0',
    'cuda\n',
  ])('%j is refused with what is possible', (device) => {
    expect(() => parseDevice(device)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining('cuda:N') }),
    );
  });

  it.each(['cuda', 'cuda:7', 'tensorrt', 'webgpu'])(
    '%s does the work or says that it cannot: never the CPU in its place',
    async (device) => {
      const opened = await OnnxSession.open('text_encoder', modelPath('text_encoder'), {
        device,
        threads: 1,
      }).catch((e: unknown) => e);
      if (opened instanceof OnnxSession) return await opened.release(); // a machine that has it
      expect(opened).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
      expect(String(opened)).toContain(device);
      expect(errorCatalogue.DEVICE_UNAVAILABLE.remedy).toContain('--device cpu');
    },
  );
});
