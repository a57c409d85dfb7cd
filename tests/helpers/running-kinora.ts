/** `kinora start` as people run it: a private Redis, bot, worker and model, with a data folder and a port of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { privateSocket } from '../../src/supervisor/private-redis.ts';
import { eventually } from './queue-harness.ts';

const entry = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));

export class RunningKinora {
  readonly url: string;
  readonly folder: string;
  /** All that it printed so far. */
  said = '';
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, url: string, folder: string) {
    this.#process = process;
    this.url = url;
    this.folder = folder;
    for (const stream of [process.stdout, process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.said += chunk.toString();
      });
    }
  }

  /**
   * Resolves when a worker with the built-in model serves.
   * @param settings as they would stand in .env; nobody's own .env is read
   */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<RunningKinora> {
    const folder = await mkdtemp(join(tmpdir(), 'kinora-running-'));
    const envFile = join(folder, 'settings.env');
    await writeFile(envFile, '');
    await mkdir(join(folder, 'data'));
    const port = await freePort();
    const env = {
      PATH: process.env['PATH'],
      KINORA_ENV_FILE: envFile,
      KINORA_DATA_DIR: join(folder, 'data'),
      KINORA_WEB_PORT: String(port),
      KINORA_PUBLIC_URL: `http://127.0.0.1:${port}`,
      KINORA_DEVICE: 'cpu',
      KINORA_CREDITS_PER_DAY: '1000',
      ...settings,
    };
    const child = spawn(process.execPath, [entry, 'start'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const kinora = new RunningKinora(child, `http://127.0.0.1:${port}`, folder);
    try {
      await eventually('Kinora is ready', () => kinora.#isReady());
    } catch (error) {
      await kinora.stop();
      throw new Error(`Kinora does not start:\n${kinora.said}`, { cause: error });
    }
    return kinora;
  }

  async #isReady(): Promise<boolean> {
    if (this.#process.exitCode !== null) throw new Error('it ended');
    return await fetch(`${this.url}/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  get socketPath(): string {
    return privateSocket(join(this.folder, 'data'));
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'exit');
      this.#process.kill('SIGTERM');
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}
