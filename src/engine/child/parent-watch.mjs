// Ends the engine child when its parent is gone. Runs in a worker thread, because the main thread may sit in a native
// run for minutes and hears of nothing meanwhile. Plain JavaScript: a worker must not need the TypeScript loader.
// Knows the parent's process id and the temporary files of the job in hand, and nothing else.
import { rmSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const { parentPid, graceMs, pollMs } = workerData;
/** @type {string[]} */
let files = [];
parentPort.on('message', (message) => {
  files = message;
});

function parentIsAlive() {
  // POSIX gives an orphan to another parent. Windows does not, so the process itself is asked for as well.
  if (process.platform !== 'win32') return process.ppid === parentPid;
  try {
    process.kill(parentPid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
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
