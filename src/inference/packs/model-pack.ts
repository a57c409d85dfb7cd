/**
 * Model packs on disk: finding, checking and opening them. A pack may come from anywhere, so nothing in it is believed
 * before it was checked. Knows the I2VGen-XL family's graphs, no pipeline.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { KinoraError } from '../../errors.ts';
import { hasShallowCore } from '../../request/model-limits.ts';
import { presetOf } from '../../request/presets.ts';
import { assertDevice, deviceOfGraph } from '../devices/required-device.ts';
import type { ClipShape, MemoryPlan, PackMemory } from '../residency/memory-plan.ts';
import type { PackSession } from '../residency/pack-session.ts';
import { Residents } from '../residency/residents.ts';
import { readSchedulerConfig } from '../schedulers/scheduler-config.ts';
import { parseDevice, type SessionOptions, type TensorSpec } from '../sessions/session.ts';
import { type ClipTokenizer, loadTokenizer } from '../tokenizer.ts';
import { type PackManifest, packManifestSchema } from './manifest.ts';

const manifestName = 'kinora.json';
const largestManifestBytes = 4_000_000;

export interface Pack {
  /** Absolute. */
  readonly folder: string;
  readonly manifest: PackManifest;
}

const requiredGraphs = [
  'text_encoder',
  'image_encoder',
  'vae_encoder',
  'unet_cond',
  'unet_core',
  'vae_decoder',
] as const;
type RequiredGraph = (typeof requiredGraphs)[number];
/** The second core. Packs may do without. */
const shallowCore = 'unet_shallow';
const graphNames = [...requiredGraphs, shallowCore] as const;
export type GraphName = (typeof graphNames)[number];

type Sessions = Readonly<Record<RequiredGraph, PackSession>> & { readonly unet_shallow?: PackSession };

/** A pack whose sessions were opened and fit each other. Those for which there is no room open when they are run. */
export interface OpenPack extends Pack {
  readonly sessions: Sessions;
  /** Who reads what the text encoder says. Where the cores do, unet_cond speaks of the picture alone. */
  readonly textEntersAt: 'unet_cond' | 'cores';
  readonly tokenizer: ClipTokenizer;
  readonly schedulerConfig: Awaited<ReturnType<typeof readSchedulerConfig>>;
  /** A run with another shape than the one before costs a search for kernels, so that chunks should be of one size. */
  readonly prefersEqualShapes: boolean;
  /**
   * Decides, before a clip is made, what stays open meanwhile, and releases what has to go at once.
   * @param leanest a plan failed for want of memory: one session at a time, frame by frame
   * @throws KinoraError OUT_OF_MEMORY when the clip cannot fit into the budget
   */
  readonly prepare: (clip: ClipShape, leanest?: boolean) => Promise<MemoryPlan>;
  /** After a run failed for want of memory: gives all of it back; from now on one session at a time in this clip. */
  readonly makeRoom: () => Promise<void>;
  readonly release: () => Promise<void>;
}

export interface OpenPackOptions extends SessionOptions {
  /** Memory of the device that may be taken; undefined: everything stays open. */
  readonly memoryBudgetBytes?: number | undefined;
  /** Called every second while a session opens. */
  readonly whileOpening?: () => void;
  /** Sessions of a graph that may be open, each for one shape. Default: 4 on CUDA, where a change of shape costs time. */
  readonly maxCopies?: number;
  /** Default: true on CUDA and TensorRT. */
  readonly prefersEqualShapes?: boolean;
}

/** Of shapes that people alternate between, a card with much memory holds so many. */
const mostCopies = 4;

/** Reads the manifest of the pack in `folder`. Throws PACK_NOT_FOUND or PACK_INVALID with what is wrong. */
export async function loadPack(folder: string): Promise<Pack> {
  const absolute = path.resolve(folder);
  const file = path.join(absolute, manifestName);
  let text: string;
  try {
    const entry = await stat(file);
    if (!entry.isFile() || entry.size > largestManifestBytes) {
      throw new KinoraError('PACK_INVALID', `${file} is not a manifest, or too large for one.`);
    }
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof KinoraError) throw cause;
    throw new KinoraError('PACK_NOT_FOUND', `There is no model pack in ${absolute} (no ${manifestName}).`, {
      cause,
    });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new KinoraError('PACK_INVALID', `${file} is not valid JSON.`, { cause });
  }
  const parsed = packManifestSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.join('.') || 'the whole';
    throw new KinoraError('PACK_INVALID', `${file}: ${where}: ${issue?.message}.`, { cause: parsed.error });
  }
  return { folder: absolute, manifest: parsed.data };
}

export interface FoundPack {
  readonly name: string;
  readonly folder: string;
  /** The pack, or why it cannot be used. */
  readonly pack: Pack | KinoraError;
}

/** Every folder with a manifest right below the given ones, in order; of equal names the first counts. */
export async function findPacks(parents: readonly string[]): Promise<FoundPack[]> {
  const found = new Map<string, FoundPack>();
  for (const parent of parents) {
    const names = await readdir(parent).catch(() => []);
    for (const name of names.sort()) {
      const folder = path.join(parent, name);
      const hasManifest = await stat(path.join(folder, manifestName)).then(
        (entry) => entry.isFile(),
        () => false,
      );
      if (!hasManifest || found.has(name)) continue;
      const pack = await loadPack(folder).catch((error: unknown) => {
        if (error instanceof KinoraError) return error;
        throw error;
      });
      found.set(name, { name, folder, pack });
    }
  }
  return [...found.values()];
}

export interface VerifyProgress {
  readonly path: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/**
 * Compares every file with the manifest: presence, size, SHA-256; and looks for files that it does not list in the
 * folders that sessions and tokenizer are loaded from.
 * @returns one sentence per problem; empty when the pack is intact
 */
export async function verifyPack(
  { folder, manifest }: Pack,
  onProgress: (progress: VerifyProgress) => void = () => {},
): Promise<string[]> {
  const problems: string[] = [];
  const bytesTotal = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  let bytesDone = 0;
  for (const file of manifest.files) {
    const problem = await checkFile(folder, file);
    if (problem) {
      problems.push(problem);
    } else if ((await sha256(path.join(folder, file.path))) !== file.sha256) {
      problems.push(`${file.path} differs from what was published (its SHA-256 does not match).`);
    }
    bytesDone += file.bytes;
    onProgress({ path: file.path, bytesDone, bytesTotal });
  }
  return [...problems, ...(await findUnlisted(folder, manifest))];
}

/** Presence and size, cheap enough for every start. One sentence, or undefined when nothing is wrong. */
async function checkFile(folder: string, file: PackManifest['files'][number]): Promise<string | undefined> {
  try {
    const real = await realpath(path.join(folder, file.path));
    // A link elsewhere, of the file or of a folder on the way, could name any file of this machine.
    if (!real.startsWith((await realpath(folder)) + path.sep))
      return `${file.path} links to outside the pack.`;
    const entry = await stat(real);
    if (!entry.isFile()) return `${file.path} is not a file.`;
    if (entry.size !== file.bytes) return `${file.path} has ${entry.size} bytes, expected ${file.bytes}.`;
    return undefined;
  } catch {
    return `${file.path} is missing.`;
  }
}

/** What a loader might read although nobody vouches for it. Notes and cards beside the manifest are nobody's concern. */
async function findUnlisted(folder: string, manifest: PackManifest): Promise<string[]> {
  const listed = new Set(manifest.files.map((file) => file.path));
  const unlisted: string[] = [];
  for (const part of [...graphNames, 'tokenizer', 'scheduler']) {
    const entries = await readdir(path.join(folder, part), { recursive: true, withFileTypes: true }).catch(
      () => [],
    );
    for (const entry of entries) {
      const file = path.relative(folder, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, '/');
      // Finder and editors leave dot files everywhere; no listed graph can refer to one that is not listed.
      if (!entry.isDirectory() && !entry.name.startsWith('.') && !listed.has(file))
        unlisted.push(`${file} is not listed in ${manifestName}.`);
    }
  }
  return unlisted;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Below this the whole pack is hashed before native code sees a byte of it: it takes a fraction of a second. */
const alwaysVerifiedBytes = 256 * 1024 ** 2;

/**
 * Opens all sessions of a pack and checks that they are what the family and the manifest promise.
 * Files are compared with the manifest first: by size, small packs by SHA-256 too (`kinora models verify` does all).
 * @throws KinoraError PACK_INVALID naming file and mismatch, DEVICE_UNAVAILABLE, OUT_OF_MEMORY
 */
export async function openPack(pack: Pack, options: OpenPackOptions): Promise<OpenPack> {
  const { folder, manifest } = pack;
  assertDevice(manifest, options.device);
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  const problems =
    bytes <= alwaysVerifiedBytes
      ? await verifyPack(pack)
      : (await Promise.all(manifest.files.map((file) => checkFile(folder, file)))).filter(
          (text) => text !== undefined,
        );
  if (problems[0])
    throw new KinoraError('PACK_INVALID', `The model pack ${manifest.id} is damaged: ${problems[0]}`);

  const [tokenizer, schedulerConfig] = await Promise.all([
    loadTokenizer(folder),
    readSchedulerConfig(folder),
  ]);
  if (tokenizer.maxTokens !== manifest.architecture.maxTokens) {
    throw new KinoraError(
      'PACK_INVALID',
      `The tokenizer of ${manifest.id} makes ${tokenizer.maxTokens} tokens, its manifest says ${manifest.architecture.maxTokens}.`,
    );
  }
  const devices = new Map<string, string>();
  for (const graph of graphsOf(manifest)) {
    devices.set(graph, await deviceOfGraph(folder, manifest, graph, options.device));
  }
  const kinds = new Map([...devices].map(([graph, device]) => [graph, parseDevice(device).kind]));
  const graphs = graphsOf(manifest).map((name) => ({
    name,
    path: path.join(folder, name, 'model.onnx'),
    session: { ...options, device: devices.get(name) ?? options.device },
    maxCopies: options.maxCopies ?? (kinds.get(name) === 'cuda' ? mostCopies : 1),
  }));
  const decoderKind = kinds.get('vae_decoder');
  const prefersEqualShapes =
    options.prefersEqualShapes ?? (decoderKind === 'cuda' || decoderKind === 'tensorrt');
  const residents = new Residents(graphs, {
    memory: packMemory(manifest),
    budgetBytes: options.memoryBudgetBytes,
    latentChannels: manifest.architecture.latentChannels,
    // An engine of TensorRT's was made for all the shapes that it takes.
    searchesPerShape: options.prefersEqualShapes ?? kinds.get('unet_core') === 'cuda',
    usualClip: usualClip(manifest),
    whileOpening: options.whileOpening ?? (() => {}),
  });
  const byName = residents.sessions.map((session) => [session.name, session] as const);
  const sessions = Object.fromEntries(byName) as unknown as Sessions; // all required ones
  try {
    await residents.openAll();
    checkSessions(folder, manifest, sessions);
  } catch (error) {
    await residents.release();
    throw error;
  }
  return {
    ...pack,
    sessions,
    textEntersAt: textEntrance(sessions),
    tokenizer,
    schedulerConfig,
    prefersEqualShapes,
    prepare: (clip, leanest) => residents.prepare(clip, leanest),
    makeRoom: () => residents.makeRoom(),
    release: () => residents.release(),
  };
}

/** What people ask for when they ask for nothing special. */
function usualClip(manifest: PackManifest): ClipShape {
  const { size, numFrames, guidanceScale } = presetOf(manifest, 'standard');
  const { decodeChunkSize } = manifest.defaults;
  return { width: size, height: size, numFrames, batch: guidanceScale > 1 ? 2 : 1, decodeChunkSize };
}

function graphsOf(manifest: PackManifest): readonly GraphName[] {
  return hasShallowCore(manifest) ? graphNames : requiredGraphs;
}

/** What of the pack a plan needs to know. */
export function packMemory(manifest: PackManifest): PackMemory {
  const { flavour, architecture, files } = manifest;
  const weightBytes: Partial<Record<GraphName, number>> = {};
  for (const name of graphsOf(manifest)) {
    weightBytes[name] = files
      .filter((file) => file.path.startsWith(`${name}/`))
      .reduce((sum, file) => sum + file.bytes, 0);
  }
  return {
    weightBytes,
    bytesPerValue: flavour === 'cuda' ? 2 : 4,
    vaeScaleFactor: architecture.vaeScaleFactor,
  };
}

/** Fixed sizes are numbers, free ones null; a letter must have the same fixed size wherever it is fixed. */
type Shape = readonly (number | string | null)[];

interface GraphShapes {
  readonly in: Readonly<Record<string, Shape>>;
  readonly out: Readonly<Record<string, Shape>>;
}

function familyShapes(
  manifest: PackManifest,
  textEntersAt: OpenPack['textEntersAt'],
): Partial<Record<GraphName, GraphShapes>> {
  const { latentChannels: c, maxTokens: t, imageEncoderSize: s } = manifest.architecture;
  const text: Readonly<Record<string, Shape>> = { encoder_hidden_states: [null, t, 'D'] };
  // What is the same for both halves of guidance has one row.
  const coreInputs: Readonly<Record<string, Shape>> = {
    sample: [1, c, null, null, null],
    timestep: [1],
    ...(textEntersAt === 'cores' ? text : {}),
    fps_emb: [1, 'F'],
    context: [null, null, 'X'],
    image_latents_enc: ['R', null, null, null, null],
    factors: [null],
  };
  const coreOutputs = { out_sample: [1, c, null, null, null] };
  // Which axis holds the channels is the pack's own affair; what one core gives the other must take.
  const deepFeatures = { deep_features: ['K', 'L', 'M', 'N'] };
  const hasShallow = hasShallowCore(manifest);
  return {
    text_encoder: { in: { input_ids: [null, t] }, out: { prompt_embeds: [null, t, 'D'] } },
    image_encoder: { in: { pixel_values: [1, 3, s, s] }, out: { image_embeds: [1, 'E'] } },
    vae_encoder: { in: { sample: [1, 3, null, null] }, out: { moments: [null, 2 * c, null, null] } },
    unet_cond: {
      in: {
        fps: [1],
        image_latents: [1, c, null, null, null],
        image_embeddings: [null, 1, 'E'],
        ...(textEntersAt === 'unet_cond' ? text : {}),
      },
      out: {
        fps_emb: [1, 'F'],
        context: [null, null, 'X'],
        image_latents_enc: ['R', null, null, null, null],
      },
    },
    unet_core: { in: coreInputs, out: hasShallow ? { ...coreOutputs, ...deepFeatures } : coreOutputs },
    ...(hasShallow ? { [shallowCore]: { in: { ...coreInputs, ...deepFeatures }, out: coreOutputs } } : {}),
    vae_decoder: {
      in: { latent: [null, c, null, null] },
      // Clips are made of rgb. Tests compare samples; their mean is finite only if all of the sample is.
      out: { sample: [null, 3, null, null], rgb: [null, null, null, 3], mean: [] },
    },
  };
}

const integerInputs: ReadonlySet<string> = new Set(['input_ids', 'fps', 'timestep']);

/** What the cores hand to each other has the precision of their insides; almost all else is float32 or an integer. */
function typeOf(name: string, { flavour }: PackManifest): string {
  if (name === 'deep_features' && flavour === 'cuda') return 'float16';
  if (name === 'rgb') return 'uint8';
  return integerInputs.has(name) ? 'int64' : 'float32';
}

function textEntrance({ unet_cond: { inputs } }: Sessions): OpenPack['textEntersAt'] {
  return inputs.some(({ name }) => name === 'encoder_hidden_states') ? 'unet_cond' : 'cores';
}

function checkSessions(folder: string, manifest: PackManifest, sessions: Sessions): void {
  const sizes = new Map<string, number>();
  const shapes = familyShapes(manifest, textEntrance(sessions));
  for (const session of Object.values(sessions)) {
    const expected = shapes[session.name];
    if (!expected) continue;
    const file = path.join(folder, session.name, 'model.onnx');
    checkSide(file, 'input', session.inputs, expected.in, sizes, manifest);
    checkSide(file, 'output', session.outputs, expected.out, sizes, manifest);
  }
}

function checkSide(
  file: string,
  side: 'input' | 'output',
  actual: readonly TensorSpec[],
  expected: Readonly<Record<string, Shape>>,
  sizes: Map<string, number>,
  manifest: PackManifest,
): void {
  const fail = (what: string): never => {
    throw new KinoraError('PACK_INVALID', `${file}: ${what}.`);
  };
  const names = actual.map((spec) => spec.name);
  const wanted = Object.keys(expected);
  if (names.length !== wanted.length || wanted.some((name) => !names.includes(name))) {
    const otherVersion = 'a pack of another version must be exported again';
    fail(`${side}s are ${names.join(', ')}, expected ${wanted.join(', ')}; ${otherVersion}`);
  }
  for (const { name, type, dims } of actual) {
    const shape = expected[name] ?? [];
    const wantedType = typeOf(name, manifest);
    if (type !== wantedType) fail(`${side} ${name} is ${type}, expected ${wantedType}`);
    if (dims.length !== shape.length)
      fail(`${side} ${name} has ${dims.length} dimensions, expected ${shape.length}`);
    shape.forEach((size, axis) => {
      const dim = dims[axis];
      if (size === null || typeof dim !== 'number' || dim < 0) return;
      const want = typeof size === 'number' ? size : (sizes.get(size) ?? dim);
      if (typeof size === 'string') sizes.set(size, want);
      if (dim !== want) fail(`${side} ${name} has size ${dim} on axis ${axis}, expected ${want}`);
    });
  }
}
