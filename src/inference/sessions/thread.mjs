// @ts-nocheck: gets its types with the protocol of the session thread
// The thread in which ONNX graphs run. A native run blocks its thread until it is done; here that costs nobody
// anything, so the main thread goes on with messages, frames and ffmpeg. Plain JavaScript: a worker must not need the
// TypeScript loader. The only import of onnxruntime-node; knows no model and turns no error into a sentence.
//
// Requests are {id, type, …} and answered with {id, value} or {id, error}, one after the other.
import { parentPort } from 'node:worker_threads';
import { combine } from './combine.mjs';
import { passes } from './finite.mjs';
import { setFrame, takeFrames } from './frames.mjs';

/** @type {typeof import('onnxruntime-node') | undefined} loaded with the first session: it may be missing */
let ort;
/** @type {Map<number, import('onnxruntime-node').InferenceSession>} */
const sessions = new Map();
/** @type {Map<number, import('onnxruntime-node').Tensor>} what later runs are fed with, and what is computed of it */
const kept = new Map();

const specOf = (metadata) =>
  metadata.isTensor
    ? { name: metadata.name, type: metadata.type, dims: [...metadata.shape] }
    : { name: metadata.name, type: 'not a tensor', dims: [] };

const typeOf = (data) => {
  if (data instanceof Float32Array) return 'float32';
  return data instanceof Uint8Array ? 'uint8' : 'int64';
};

const tensorOf = ({ data, dims }) => new ort.Tensor(typeOf(data), data, dims);

const isKept = (tensor) => tensor?.kept !== undefined;

const mapValues = (record, change) =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));

/** The numbers of a kept tensor, or of one half of it: a view. */
const numbersOf = ({ kept: key, half }) => {
  const { data } = kept.get(key);
  const middle = data.length / 2;
  return half === undefined ? data : data.subarray(half * middle, (half + 1) * middle);
};

/** A tensor of the dims of another one or of one half of it, to be filled. */
const emptyLike = ({ kept: key, half }) => {
  const [batch, ...dims] = kept.get(key).dims;
  const data = new Float32Array(numbersOf({ kept: key, half }).length);
  return tensorOf({ data, dims: [half === undefined ? batch : batch / 2, ...dims] });
};

/** Fills a kept tensor, or one half of it; one that is not there yet is made. */
function copyInto(target, { data, dims }) {
  if (kept.has(target.kept)) numbersOf(target).set(data);
  else kept.set(target.kept, tensorOf({ data: data.slice(), dims: [...dims] }));
}

/** Sums of kept tensors into kept tensors, one after the other; whether all results are finite. */
function computeAll(combinations) {
  let areFinite = true;
  for (const { target, terms, limit } of combinations) {
    const sources = terms.map(([factor, part]) => [factor, numbersOf(part)]);
    if (!kept.has(target.kept)) kept.set(target.kept, emptyLike(terms[0][1]));
    if (!Number.isFinite(combine(sources, numbersOf(target), limit))) areFinite = false;
  }
  return areFinite;
}

const handlers = {
  async open({ session: key, path, options }) {
    ort ??= (await import('onnxruntime-node')).default;
    const session = await ort.InferenceSession.create(path, options);
    sessions.set(key, session);
    return { inputs: session.inputMetadata.map(specOf), outputs: session.outputMetadata.map(specOf) };
  },

  async run({ session: key, feeds, into, checks, copies, after }) {
    const session = sessions.get(key);
    if (!session) throw new Error('the session was released');
    const inputs = mapValues(feeds, (feed) => kept.get(feed.kept) ?? tensorOf(feed));
    // What is not named is not fetched from the device; outputs without memory are made by the runtime.
    const wanted = Object.keys(into).length > 0 ? Object.keys(into) : session.outputNames;
    const memoryOf = (name) =>
      isKept(into[name]) ? kept.get(into[name].kept) : into[name] && tensorOf(into[name]);
    const fetches = Object.fromEntries(wanted.map((name) => [name, memoryOf(name) ?? null]));
    const startedAt = performance.now();
    const results = await session.run(inputs, fetches);
    const runMs = performance.now() - startedAt;
    // What was written into lent or kept memory comes back as another object without a view of it.
    const outputs = {};
    let areFinite = true;
    for (const [name, tensor] of Object.entries(results)) {
      const { type, dims, data } = tensor;
      if (copies[name]) copyInto(copies[name], tensor);
      if (!isKept(into[name])) {
        outputs[name] = { type, dims: [...dims], data: into[name]?.data ?? data };
        continue;
      }
      const { kept: place } = into[name];
      if (!kept.has(place)) kept.set(place, tensor);
      if (type === 'float32' && !passes(kept.get(place).data, checks[name])) areFinite = false;
    }
    return { outputs, isFinite: computeAll(after) && areFinite, runMs };
  },

  async keep({ key, tensor }) {
    kept.set(key, tensorOf(tensor));
  },

  async compute({ combinations }) {
    computeAll(combinations);
  },

  async frames({ key, volume, range }) {
    const { data, dims } = kept.get(volume);
    kept.set(key, tensorOf(takeFrames(data, dims, range)));
  },

  async setFrame({ volume, index, frame }) {
    const { data, dims } = kept.get(volume);
    setFrame(data, dims, index, frame);
  },

  async take({ key }) {
    const { data } = kept.get(key);
    kept.delete(key);
    return data;
  },

  async forget({ keys }) {
    for (const key of keys) kept.delete(key);
  },

  async release({ session: key }) {
    const session = sessions.get(key);
    sessions.delete(key);
    await session?.release();
  },
};

/** Memory that is handed over instead of being copied. */
const buffersOf = (type, value) => {
  if (type === 'take') return [value.buffer];
  return type === 'run' ? Object.values(value.outputs).map(({ data }) => data.buffer) : [];
};

let last = Promise.resolve();
parentPort.on('message', ({ id, type, ...request }) => {
  last = last.then(async () => {
    try {
      const value = await handlers[type](request);
      parentPort.postMessage({ id, value }, buffersOf(type, value));
    } catch (error) {
      parentPort.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
});
