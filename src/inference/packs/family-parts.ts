/** What a family of packs consists of. Each family has a file beside this one that says it: i2vgen-xl.ts, svd.ts. */
import type { WorkingSize } from '../../request/sizes.ts';
import type { GraphMemory } from '../residency/measured-memory.ts';
import type { GraphName } from './graphs.ts';

/** Fixed sizes are numbers, free ones null; a letter must have the same fixed size wherever it is fixed. */
export type Shape = readonly (number | string | null)[];

export interface GraphShapes {
  readonly in: Readonly<Record<string, Shape>>;
  readonly out: Readonly<Record<string, Shape>>;
}

export interface FamilyParts {
  /** Of every pack, in the order in which a clip runs them; weights of large graphs lie beside them. */
  readonly graphs: readonly GraphName[];
  /** Other files of every pack. */
  readonly otherFiles: readonly string[];
  /** Of its tokenizer, per prompt, end token included; undefined for a family that reads no text. */
  readonly maxTokens: number | undefined;
  /** Fields of the manifest that deny each other. */
  readonly contradictions: readonly { readonly path: readonly string[]; readonly message: string }[];
  /** Inputs that are int64; the others are float32. */
  readonly integerInputs: ReadonlySet<string>;
  /** Inputs of unet_cond that some packs have. */
  readonly optionalInputs: readonly string[];
  /** @param optional those of this pack */
  readonly shapes: (optional: ReadonlySet<string>) => Readonly<Partial<Record<GraphName, GraphShapes>>>;
  readonly memory: Readonly<Record<GraphName, GraphMemory>>;
  /** What the decoder makes of a frame depends on the frames that are decoded with it. */
  readonly decoderMixesFrames: boolean;
  /** Its schedulers go down the levels of Karras, not the steps of a schedule of betas. */
  readonly hasKarrasLevels: boolean;
  /** Of the shape of the pictures that it was trained with, for which engines warm up. */
  readonly usualPicture: WorkingSize;
}
