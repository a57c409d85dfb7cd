// The thread in which ONNX graphs run. A native run blocks its thread until it is done; here that costs nobody
// anything, so the main thread goes on with messages, frames and ffmpeg. Plain JavaScript: a worker must not need the
// TypeScript loader. The only import of onnxruntime-node; knows no model and turns no error into a sentence.
//
// Requests are {id, type, …} and answered with {id, value} or {id, error}, one after the other.
import { parentPort } from 'node:worker_threads';

/** @type {typeof import('onnxruntime-node') | undefined} loaded with the first session: it may be missing */
let ort;
/** @type {Map<number, import('onnxruntime-node').InferenceSession>} */
const sessions = new Map();
/** @type {Map<number, import('onnxruntime-node').Tensor>} inputs that serve many runs, outputs that are fed to others */
const kept = new Map();

const specOf = (metadata) =>
  metadata.isTensor
    ? { name: metadata.name, type: metadata.type, dims: [...metadata.shape] }
    : { name: metadata.name, type: 'not a tensor', dims: [] };

const tensorOf = ({ data, dims }) =>
  new ort.Tensor(data instanceof Float32Array ? 'float32' : 'int64', data, dims);

const isKept = (tensor) => tensor?.kept !== undefined;

const mapValues = (record, change) =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));

const handlers = {
  async open({ session: key, path, options }) {
    ort ??= (await import('onnxruntime-node')).default;
    const session = await ort.InferenceSession.create(path, options);
    sessions.set(key, session);
    return { inputs: session.inputMetadata.map(specOf), outputs: session.outputMetadata.map(specOf) };
  },

  async run({ session: key, feeds, into, lend }) {
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
    for (const [name, tensor] of Object.entries(results)) {
      const { type, dims, data } = tensor;
      if (!isKept(into[name])) outputs[name] = { type, dims: [...dims], data: into[name]?.data ?? data };
      else if (!kept.has(into[name].kept)) kept.set(into[name].kept, tensor);
    }
    return { outputs, lent: Object.fromEntries(lend.map((name) => [name, feeds[name]])), runMs };
  },

  async keep({ key, tensor }) {
    kept.set(key, tensorOf(tensor));
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

/** Memory of a run's tensors, which goes back instead of being copied. */
const buffersOf = ({ outputs, lent }) =>
  [...Object.values(outputs), ...Object.values(lent)].map(({ data }) => data.buffer);

let last = Promise.resolve();
parentPort.on('message', ({ id, type, ...request }) => {
  last = last.then(async () => {
    try {
      const value = await handlers[type](request);
      parentPort.postMessage({ id, value }, type === 'run' ? [...new Set(buffersOf(value))] : []);
    } catch (error) {
      parentPort.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
});
