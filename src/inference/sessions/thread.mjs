/**
 * The thread in which ONNX graphs run. A native run blocks its thread until it is done; the main thread goes on with
 * messages, frames and ffmpeg meanwhile. The only import of onnxruntime-node; knows no model and turns no error into a
 * sentence.
 *
 * JavaScript with types in comments, checked by tsc like the rest: Node 20 cannot load TypeScript in a worker thread
 * without tsx, and tsx there takes a quarter of a second of processor time and 20 MB.
 */
import { parentPort } from 'node:worker_threads';
import { combine } from './combine.mjs';
import { isFinite32 } from './finite.mjs';

/** @import { FromThread, OpenedSession, RunAnswer, ThreadAnswer, ThreadRequest, ThreadTensor, ThreadTensorPart, ToThread } from './thread-protocol.ts' */
/** @import { ByteTensor, FloatTensor, Tensor, TensorSpec } from './tensor.ts' */
/** @import { Combination } from '../schedulers/scheduler.ts' */
/** @import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node' */

/** @type {typeof import('onnxruntime-node') | undefined} loaded with the first session: it may be missing */
let ort;
/** @type {Map<number, InferenceSession>} */
const sessions = new Map();
/** @type {Map<number, FloatTensor>} */
const tensors = new Map();

/**
 * Numbers of an output that stays here which are checked for NaN and infinity. Both spread over a whole sample with the
 * next step, and all numbers are checked when they leave; all of them at every step would take 1 % of a job.
 */
const checkedNumbers = 65_536;

/**
 * @param {{ key: number }} tensor
 * @returns {FloatTensor}
 */
function stored({ key }) {
  const tensor = tensors.get(key);
  if (!tensor) throw new Error('the tensor is not there');
  return tensor;
}

/**
 * The numbers of a stored tensor, or of one half of it: a view.
 * @param {ThreadTensorPart} part
 */
function numbersOf({ half, ...tensor }) {
  const { data } = stored(tensor);
  const middle = data.length / 2;
  return half === undefined ? data : data.subarray(half * middle, (half + 1) * middle);
}

/**
 * Makes room for results of the dims of another tensor, or of one half of it.
 * @param {ThreadTensor} target
 * @param {ThreadTensorPart} like
 */
function makeLike(target, like) {
  const [batch = 0, ...dims] = stored(like).dims;
  const data = new Float32Array(numbersOf(like).length);
  tensors.set(target.key, { data, dims: [like.half === undefined ? batch : batch / 2, ...dims] });
}

/** @param {readonly Combination<ThreadTensorPart>[]} combinations */
function compute(combinations) {
  for (const { target, terms, limit } of combinations) {
    const [first] = terms;
    if (first && !tensors.has(target.key)) makeLike(target, first[1]);
    combine(
      terms.map(([factor, part]) => [factor, numbersOf(part)]),
      numbersOf(target),
      limit,
    );
  }
}

/** @param {InferenceSession.ValueMetadata} metadata @returns {TensorSpec} */
const specOf = (metadata) =>
  metadata.isTensor
    ? { name: metadata.name, type: metadata.type, dims: [...metadata.shape] }
    : { name: metadata.name, type: 'not a tensor', dims: [] };

/** @param {Extract<ThreadRequest, { type: 'open' }>} request @returns {Promise<OpenedSession>} */
async function open({ session: key, path, options }) {
  ort ??= (await import('onnxruntime-node')).default;
  const session = await ort.InferenceSession.create(path, options);
  sessions.set(key, session);
  return { inputs: session.inputMetadata.map(specOf), outputs: session.outputMetadata.map(specOf) };
}

/** @param {Extract<ThreadRequest, { type: 'run' }>} request @returns {Promise<RunAnswer>} */
async function run({ session: key, feeds, into }) {
  const session = sessions.get(key);
  if (!session || !ort) throw new Error('the session was released');
  const { Tensor } = ort;
  /** @param {Tensor | ByteTensor} tensor */
  const ortTensor = ({ data, dims }) => {
    if (data instanceof Float32Array) return new Tensor('float32', data, dims);
    return data instanceof Uint8Array ? new Tensor('uint8', data, dims) : new Tensor('int64', data, dims);
  };
  /** @type {Record<string, OrtTensor>} */
  const inputs = {};
  for (const [name, feed] of Object.entries(feeds))
    inputs[name] = ortTensor('key' in feed ? stored(feed) : feed);
  // Outputs that are not named are not fetched from the device; those without memory are made by the runtime.
  /** @type {Record<string, OrtTensor | null>} */
  const fetches = {};
  for (const name of Object.keys(into).length > 0 ? Object.keys(into) : session.outputNames) {
    const target = into[name];
    const memory = target && 'key' in target ? tensors.get(target.key) : target;
    fetches[name] = memory ? ortTensor(memory) : null;
  }
  const startedAt = performance.now();
  const results = await session.run(inputs, fetches);
  const runMs = performance.now() - startedAt;

  /** @type {Record<string, { data: unknown, dims: readonly number[] }>} */
  const outputs = {};
  let areFinite = true;
  for (const [name, { data: made, dims }] of Object.entries(results)) {
    const target = into[name];
    // What was written into given memory comes back as another object: the numbers are in ours.
    const given = target && ('key' in target ? tensors.get(target.key) : target);
    const data = given?.data ?? made;
    if (!target || 'data' in target) {
      outputs[name] = { data, dims: [...dims] };
      if (data instanceof Float32Array) areFinite &&= isFinite32(data);
    } else if (data instanceof Float32Array) {
      tensors.set(target.key, { data, dims: [...dims] });
      areFinite &&= isFinite32(data.subarray(0, checkedNumbers));
    } else throw new Error(`${name} is not float32`);
  }
  return { outputs, isFinite: areFinite, runMs };
}

/** @param {ThreadRequest} request @returns {Promise<ThreadAnswer>} */
async function serve(request) {
  switch (request.type) {
    case 'open':
      return await open(request);
    case 'run':
      return await run(request);
    case 'release': {
      const session = sessions.get(request.session);
      sessions.delete(request.session);
      await session?.release();
      return undefined;
    }
    case 'put':
      tensors.set(request.key, request.tensor);
      return undefined;
    case 'compute':
      compute(request.combinations);
      return undefined;
    case 'take': {
      const tensor = stored(request);
      tensors.delete(request.key);
      return tensor;
    }
    case 'free':
      for (const key of request.keys) tensors.delete(key);
      return undefined;
  }
}

/**
 * Memory that goes to the main thread instead of being copied.
 * @param {ThreadAnswer} answer
 * @returns {ArrayBuffer[]}
 */
function lentBy(answer) {
  const outputs =
    answer && 'outputs' in answer && !Array.isArray(answer.outputs) ? Object.values(answer.outputs) : [];
  const tensors = answer && 'data' in answer ? [answer] : outputs;
  return tensors.flatMap((tensor) =>
    ArrayBuffer.isView(tensor.data) && tensor.data.buffer instanceof ArrayBuffer ? [tensor.data.buffer] : [],
  );
}

/** @param {FromThread} message @param {ArrayBuffer[]} [lent] */
const send = (message, lent) => parentPort?.postMessage(message, lent);

let last = Promise.resolve();
parentPort?.on('message', (/** @type {ToThread} */ { id, request }) => {
  last = last.then(async () => {
    try {
      const value = await serve(request);
      send({ id, value }, lentBy(value));
    } catch (error) {
      send({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
});
