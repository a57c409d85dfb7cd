/**
 * Requests of the main thread to the session thread, and their answers. tsc checks both ends against these types:
 * thread-client.ts sends, thread.mjs serves one request after the other, in the order in which they were sent.
 */
import type { InferenceSession } from 'onnxruntime-node';
import type { Combination } from '../schedulers/scheduler.ts';
import type { ByteTensor, FloatTensor, Tensor, TensorSpec } from './tensor.ts';

/** A float32 tensor that lies in the session thread. */
export interface ThreadTensor {
  readonly key: number;
  /** Empty where the first run that writes it decides. */
  readonly dims: readonly number[];
}

/** All of a tensor, or one half of a batch of two. */
export interface ThreadTensorPart extends ThreadTensor {
  readonly half?: 0 | 1;
}

export type ThreadRequest =
  | {
      readonly type: 'open';
      readonly session: number;
      readonly path: string;
      readonly options: InferenceSession.SessionOptions;
    }
  | {
      readonly type: 'run';
      readonly session: number;
      readonly feeds: Readonly<Record<string, Tensor | ThreadTensor>>;
      /** See RunOptions. */
      readonly into: Readonly<Record<string, FloatTensor | ByteTensor | ThreadTensor>>;
    }
  | { readonly type: 'release'; readonly session: number }
  /** The others are about tensors: see ThreadTensors. */
  | { readonly type: 'put'; readonly key: number; readonly tensor: FloatTensor }
  | { readonly type: 'compute'; readonly combinations: readonly Combination<ThreadTensorPart>[] }
  | { readonly type: 'take'; readonly key: number }
  | { readonly type: 'free'; readonly keys: readonly number[] };

export interface OpenedSession {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

export interface RunAnswer {
  /** Those that do not stay in the thread. */
  readonly outputs: Readonly<Record<string, { readonly data: unknown; readonly dims: readonly number[] }>>;
  /** Of all float32 numbers that leave the thread, and of a part of those that stay. */
  readonly isFinite: boolean;
  readonly runMs: number;
}

/** By the request's type. */
export interface ThreadAnswers {
  readonly open: OpenedSession;
  readonly run: RunAnswer;
  readonly release: undefined;
  readonly put: undefined;
  readonly compute: undefined;
  readonly take: FloatTensor;
  readonly free: undefined;
}
export type ThreadAnswer = ThreadAnswers[ThreadRequest['type']];

/** Every request has a number, which its answer repeats. */
export interface ToThread {
  readonly id: number;
  readonly request: ThreadRequest;
}
export type FromThread =
  | { readonly id: number; readonly value: ThreadAnswer }
  | { readonly id: number; readonly error: string };
