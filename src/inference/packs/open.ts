/** Opens a model pack: verified files, tokenizer, scheduler, and sessions that share the device's memory. */
import path from 'node:path';
import { KinoraError } from '../../errors.ts';
import { presetOf } from '../../request/presets.ts';
import { parseDevice } from '../devices/device.ts';
import { assertDevice, deviceOfGraph } from '../devices/required-device.ts';
import type { ClipShape, MemoryPlan, PackMemory } from '../residency/memory-plan.ts';
import type { PackSession } from '../residency/pack-session.ts';
import { SessionPool } from '../residency/session-pool.ts';
import type { SharedMemory } from '../residency/shared-memory.ts';
import { readSchedulerConfig } from '../schedulers/scheduler-config.ts';
import type { SessionOptions } from '../sessions/session.ts';
import { type ClipTokenizer, loadTokenizer } from '../tokenizer.ts';
import { assertIntact, type Pack } from './files.ts';
import { checkSessions, type OptionalInputs, optionalInputsOf } from './graph-contract.ts';
import type { CommonGraph, GraphName } from './graphs.ts';
import { graphsOf, type PackManifest, partsOf } from './manifest.ts';

type Sessions = Readonly<Record<CommonGraph, PackSession>> & {
  readonly text_encoder?: PackSession;
  readonly unet_shallow?: PackSession;
};

/** A pack whose sessions were opened once and fit each other. Where memory is short, some open only for their runs. */
export interface OpenPack extends Pack {
  readonly sessions: Sessions;
  /** Those that its unet_cond has. */
  readonly optionalInputs: OptionalInputs;
  /** Of a family that reads text. */
  readonly tokenizer?: ClipTokenizer;
  readonly schedulerConfig: Awaited<ReturnType<typeof readSchedulerConfig>>;
  /** A change of shape between runs costs a search for kernels, so all chunks should have one size. */
  readonly prefersEqualShapes: boolean;
  /**
   * Called before every clip: plans its memory and releases the sessions that do not fit beside it.
   * @param leastMemory the clip ran out of memory before: as leastMemoryPlan
   * @throws KinoraError OUT_OF_MEMORY when the clip cannot fit into the budget
   */
  readonly prepare: (clip: ClipShape, leastMemory?: boolean) => Promise<MemoryPlan>;
  /** After a run ran out of memory: releases all sessions; the rest of this clip opens one at a time. */
  readonly makeRoom: () => Promise<void>;
  readonly release: () => Promise<void>;
  /** Whether it has not made room for another pack since it was loaded last. */
  readonly isLoaded: () => boolean;
  /** Opens its sessions again after that. Throws what opening throws. */
  readonly load: () => Promise<void>;
}

export interface OpenPackOptions extends SessionOptions {
  /** Bytes of the device's memory that may be used; undefined: every session stays open. */
  readonly memoryBudgetBytes?: number | undefined;
  /** Shared with other packs, which make room for this one; absent where there is no other. */
  readonly memory?: SharedMemory;
  /** Called every second while a session opens. */
  readonly whileOpening?: () => void;
  /** Open sessions per graph, each for one shape. Default: 4 on CUDA, where a change of shape costs time; else 1. */
  readonly maxSessionsPerGraph?: number;
  /** Default: true on CUDA and TensorRT. */
  readonly prefersEqualShapes?: boolean;
}

/** Shapes that people alternate between, on a card with much memory. */
const defaultMaxSessions = 4;

/**
 * Checks the files, opens all sessions once, and compares their inputs and outputs with the manifest.
 * @throws KinoraError PACK_INVALID naming file and mismatch, DEVICE_UNAVAILABLE, OUT_OF_MEMORY
 */
export async function openPack(pack: Pack, options: OpenPackOptions): Promise<OpenPack> {
  const { folder, manifest } = pack;
  assertDevice(manifest, options.device);
  await assertIntact(pack);
  const [tokenizer, schedulerConfig] = await Promise.all([tokenizerOf(pack), readSchedulerConfig(folder)]);
  if ((schedulerConfig.use_karras_sigmas === true) !== partsOf(manifest).hasKarrasLevels) {
    throw new KinoraError(
      'PACK_INVALID',
      `The scheduler_config.json of ${manifest.id} is not one of the family ${manifest.family}.`,
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
    session: {
      ...options,
      device: devices.get(name) ?? options.device,
      returnsMemory: runsOncePerClip(name, manifest),
    },
    maxSessions: options.maxSessionsPerGraph ?? (kinds.get(name) === 'cuda' ? defaultMaxSessions : 1),
  }));
  const decoderKind = kinds.get('vae_decoder');
  const prefersEqualShapes =
    options.prefersEqualShapes ?? (decoderKind === 'cuda' || decoderKind === 'tensorrt');
  const pool = new SessionPool(graphs, {
    memory: packMemory(manifest),
    budgetBytes: options.memoryBudgetBytes,
    shared: options.memory,
    latentChannels: manifest.architecture.latentChannels,
    // A TensorRT engine was compiled for all the shapes that it takes.
    searchesPerShape: options.prefersEqualShapes ?? kinds.get('unet_core') === 'cuda',
    usualClip: usualClip(manifest),
    whileOpening: options.whileOpening ?? (() => {}),
  });
  const byName = pool.sessions.map((session) => [session.name, session] as const);
  const sessions = Object.fromEntries(byName) as unknown as Sessions; // all of its family
  try {
    await pool.openAll();
    checkSessions(folder, manifest, pool.sessions, optionalInputsOf(sessions.unet_cond, manifest));
  } catch (error) {
    await pool.release();
    throw error;
  }
  return {
    ...pack,
    sessions,
    optionalInputs: optionalInputsOf(sessions.unet_cond, manifest),
    ...(tokenizer ? { tokenizer } : {}),
    schedulerConfig,
    prefersEqualShapes,
    prepare: (clip, leastMemory) => pool.prepare(clip, leastMemory),
    makeRoom: () => pool.makeRoom(),
    release: () => pool.release(),
    isLoaded: () => pool.isLoaded,
    load: () => pool.openAll(),
  };
}

async function tokenizerOf({ folder, manifest }: Pack): Promise<ClipTokenizer | undefined> {
  const { maxTokens } = partsOf(manifest);
  if (maxTokens === undefined) return undefined;
  const tokenizer = await loadTokenizer(folder);
  if (tokenizer.maxTokens === maxTokens) return tokenizer;
  throw new KinoraError(
    'PACK_INVALID',
    `The tokenizer of ${manifest.id} makes ${tokenizer.maxTokens} tokens, its manifest says ${maxTokens}.`,
  );
}

function runsOncePerClip(name: GraphName, { limits }: PackManifest): boolean {
  return name === 'unet_cond' || (name === 'unet_core' && limits.numInferenceSteps.max === 1);
}

/** The clip of a request without options. */
function usualClip(manifest: PackManifest): ClipShape {
  const { size, numFrames, guidanceScale } = presetOf(manifest, 'standard');
  const { decodeChunkSize } = manifest.defaults;
  return { width: size, height: size, numFrames, batch: guidanceScale > 1 ? 2 : 1, decodeChunkSize };
}

/** The part of the manifest that a memory plan needs. */
export function packMemory(manifest: PackManifest): PackMemory {
  const { flavour, architecture, files } = manifest;
  const { memory, decoderMixesFrames } = partsOf(manifest);
  const weightBytes: Partial<Record<GraphName, number>> = {};
  for (const name of graphsOf(manifest)) {
    weightBytes[name] = files
      .filter((file) => file.path.startsWith(`${name}/`))
      .reduce((sum, file) => sum + file.bytes, 0);
  }
  return {
    weightBytes,
    graphs: memory,
    decoderMixesFrames,
    bytesPerValue: flavour === 'cuda' ? 2 : 4,
    vaeScaleFactor: architecture.vaeScaleFactor,
  };
}
