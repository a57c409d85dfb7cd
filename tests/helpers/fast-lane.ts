/**
 * Set-up of the fast lane (`npm run test:fast`): a test that starts a process or a thread, or loads ONNX Runtime,
 * fails and is told where to list its file. So no test of this lane can come to need Redis, ffmpeg or a session.
 */
import childProcess from 'node:child_process';
import { syncBuiltinESMExports } from 'node:module';
import workerThreads from 'node:worker_threads';
import { afterAll, expect } from 'vitest';

/** What this file's tests tried to open. It is kept, since the code under test may catch the error. */
const opened: string[] = [];

function refuse(what: string): never {
  opened.push(what);
  throw new Error(`A test of the fast lane opens ${what}. Add its file to tests/slow.ts.`);
}

const starters = ['exec', 'execFile', 'execFileSync', 'execSync', 'fork', 'spawn', 'spawnSync'] as const;
for (const name of starters) {
  Object.assign(childProcess, { [name]: (command: unknown) => refuse(`the process ${String(command)}`) });
}
Object.assign(workerThreads, {
  Worker: class {
    constructor(file: unknown) {
      refuse(`the thread ${String(file)}`);
    }
  },
});
syncBuiltinESMExports();

const { dlopen } = process;
process.dlopen = (...args: [module: object, file: string, flags?: number]) =>
  args[1].includes('onnxruntime') ? refuse('ONNX Runtime') : Reflect.apply(dlopen, process, args);

afterAll(() => expect(opened).toEqual([]));
