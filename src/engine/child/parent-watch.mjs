// Ends the engine child when its parent is gone. Runs in a worker thread, because the main thread may sit in a native
// run for minutes and hears of nothing meanwhile.
//
// Files that run in a worker thread are JavaScript with types in comments, checked by tsc like the rest (checkJs): Node
// 20 cannot load TypeScript in a worker without tsx, and tsx in a worker takes a quarter of a second of processor time
// and 20 MB at every start.
// Knows the parent's process id and the temporary files of the job in hand, and nothing else.
import { rmSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

/** @type {{ parentPid: number, graceMs: number, pollMs: number }} */
const { parentPid, graceMs, pollMs } = workerData;
/** @type {string[]} */
let files = [];
parentPort?.on('message', (message) => {
  files = message;
});

function parentIsAlive() {
  // POSIX gives an orphan to another parent. Windows does not, so the process itself is asked for as well.
  if (process.platform !== 'win32') return process.ppid === parentPid;
  try {
    process.kill(parentPid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function endEverything() {
  // An ffmpeg that is still running cannot finish a file that has lost its name.
  for (const file of files) rmSync(file, { force: true });
  if (process.platform !== 'win32') {
    try {
      process.kill(-process.pid, 'SIGKILL'); // this process leads its group; ffmpeg is in it
    } catch {
      // not a leader: only itself, below
    }
  }
  process.kill(process.pid, 'SIGKILL');
}

const timer = setInterval(() => {
  if (parentIsAlive()) return;
  clearInterval(timer);
  // The main thread, when it is free, has heard it too and tidies up properly; it gets this long.
  setTimeout(endEverything, graceMs);
}, pollMs);
