import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMp4Info } from '../../src/video/mp4.ts';
import { tinyPackPath } from '../helpers/golden.ts';
import { FaultyProxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';
import { runCli } from '../helpers/run-cli.ts';

const entry = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));
const picture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/pictures/${name}`, import.meta.url));
const cat = fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url));

const commands = ['bot', 'worker', 'start'] as const;

let folder: string;
let inbox: string;
let running: ChildProcess | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-start-'));
  inbox = join(folder, 'inbox');
  for (const command of commands) await mkdir(join(folder, command));
});
afterEach(async () => {
  if (running) await stop('SIGKILL');
  await eventually('the end of every part', async () => (await processesOf(folder)).length === 0);
  await rm(folder, { recursive: true, force: true });
});

/** What the running one printed. */
let printed = { stdout: '', stderr: '' };

/** @param stdout a file of its own, or a pipe */
function start(
  surface: Readonly<Record<string, string>> = { KINORA_INBOX: inbox },
  stdout: number | 'pipe' = 'pipe',
): void {
  const output = { stdout: '', stderr: '' };
  printed = output;
  running = spawn(process.execPath, [entry, 'start'], {
    env: {
      PATH: process.env['PATH'],
      KINORA_DATA_DIR: join(folder, 'data'),
      ...surface,
      KINORA_MODEL: tinyPackPath,
      KINORA_LOG_LEVEL: 'silent',
      KINORA_GRACE_SECONDS: '1',
      KINORA_THREADS: '2',
    },
    stdio: ['ignore', stdout, 'pipe'],
  });
  for (const name of ['stdout', 'stderr'] as const) {
    running[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
}

async function stop(signal: NodeJS.Signals): Promise<number | null> {
  const child = running;
  running = undefined;
  if (!child) return null;
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const ended = once(child, 'exit');
  child.kill(signal);
  const [code] = (await ended) as [number | null];
  return code;
}

/** Processes that were given the folder, by their environment or their arguments. */
async function processesOf(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === process.pid) continue;
    const text = await Promise.all(
      ['environ', 'cmdline'].map((file) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')),
    );
    if (text.join('').includes(path)) found.push(pid);
  }
  return found;
}

async function killOwnRedis(): Promise<void> {
  for (const pid of await processesOf(folder)) {
    const command = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    if (command.startsWith('redis-server')) process.kill(Number(pid), 'SIGKILL');
  }
}

const inInbox =
  (name: string): (() => Promise<boolean>) =>
  async () =>
    (await readdir(inbox).catch((): string[] => [])).includes(name);

it('animates what is put into the inbox, says what cannot be, and continues after kill -9 of everything', async () => {
  start();
  await eventually('the inbox', async () => (await readdir(folder)).includes('inbox'));
  await writeFile(join(inbox, 'cat.txt'), 'zoom in');
  await copyFile(cat, join(inbox, 'cat.jpg'));
  await copyFile(picture('truncated.jpg'), join(inbox, 'broken.jpg'));
  await eventually('the video', inInbox('cat.mp4'));
  await eventually('the sentence', inInbox('broken.error.txt'));
  expect((await readMp4Info(join(inbox, 'cat.mp4'))).numFrames).toBe(5);
  expect(await readFile(join(inbox, 'broken.error.txt'), 'utf8')).toMatch(/cannot be decoded/);

  // Its Redis comes back with everything that was accepted.
  await killOwnRedis();
  await copyFile(cat, join(inbox, 'other.jpg'));
  await eventually('the other video', inInbox('other.mp4'));

  // Nothing is told to end; the parts notice, and a second start finds what was accepted.
  await copyFile(cat, join(inbox, 'second.jpg'));
  await eventually('the job', async () => (await readdir(join(folder, 'data', 'jobs'))).length === 4);
  await stop('SIGKILL');
  await eventually('the end of every part', async () => (await processesOf(folder)).length === 0);
  start();
  await eventually('the second video', inInbox('second.mp4'));
  expect(await stop('SIGTERM')).toBe(0);
  await eventually('the end of every part', async () => (await processesOf(folder)).length === 0);
});

it('serves the API alone: a key from the command line, a picture, a video', async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  start({ KINORA_WEB_PORT: String(port) });
  const isReady = async (): Promise<boolean> =>
    await fetch(`${url}/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  await eventually('the API', isReady, 60_000);
  // Whoever keeps the machine is signed in by what the terminal shows, and by nothing that stays.
  await eventually('the link', async () => printed.stdout.includes('\n'));
  const [, token] = /^http:\/\/127\.0\.0\.1:\d+\/sign-in#([\w-]{43})\n$/.exec(printed.stdout) ?? [];
  expect(printed.stderr).toMatch(/Open your page, as the owner\. The link works once, within 5 minutes/);
  expect(printed.stderr).not.toContain(token);
  const signedIn = await fetch(`${url}/v1/sign-in`, {
    method: 'POST',
    body: JSON.stringify({ token }),
    headers: { 'content-type': 'application/json', origin: url },
  });
  expect(await signedIn.json()).toMatchObject({ user: 'web:owner', scopes: ['use', 'admin'] });
  const { stdout } = await runCli(['keys', 'create', 'laptop'], { folder });
  const headers = { authorization: `Bearer ${stdout.trim()}` };
  const body = new FormData();
  body.append('prompt', 'zoom in');
  body.append('input_reference', new Blob([new Uint8Array(await readFile(cat))]), 'cat.jpg');
  const asked = await fetch(`${url}/v1/videos`, { method: 'POST', headers, body });
  const { id } = (await asked.json()) as { id: string };
  let content: Response | undefined;
  const isMade = async (): Promise<boolean> => {
    content = await fetch(`${url}/v1/videos/${id}/content`, { headers });
    return content.ok;
  };
  await eventually('the video', isMade, 60_000);
  const file = join(folder, 'cat.mp4');
  await writeFile(file, Buffer.from((await content?.arrayBuffer()) ?? new ArrayBuffer(0)));
  expect((await readMp4Info(file)).numFrames).toBe(5);
  expect(await stop('SIGTERM')).toBe(0);
}, 180_000);

it('prints no link into a file', async () => {
  const file = join(folder, 'kinora.log');
  const handle = await open(file, 'w');
  const port = await freePort();
  start({ KINORA_WEB_PORT: String(port) }, handle.fd);
  await eventually('where the page is', async () => printed.stderr.includes('prints a link for you'), 60_000);
  expect(printed.stderr).toContain(`The page is at http://127.0.0.1:${port}; "npm run kinora -- sign-in"`);
  expect(await stop('SIGTERM')).toBe(0);
  await handle.close();
  expect(await readFile(file, 'utf8')).toBe('');
}, 90_000);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens
  server.close();
  await once(server, 'close');
  return port;
}

it('bot and worker end when start is killed while they load', async () => {
  start();
  const isBot = async (pid: string): Promise<boolean> =>
    (await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')).includes('kinora.mjs\0bot');
  await eventually(
    'the bot',
    async () => (await Promise.all((await processesOf(folder)).map(isBot))).includes(true),
    60_000,
  );
  await stop('SIGKILL');
  await eventually('the end of every part', async () => (await processesOf(folder)).length === 0);
});

it('every part ends when its Redis may not be trusted, and says why', async () => {
  const server = await TestRedis.start('--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru');
  try {
    const environment = { REDIS_URL: `unix://${server.socketPath}`, KINORA_INBOX: inbox };
    for (const { code, stderr } of await Promise.all(
      commands.map((command) => runCli([command], { folder: join(folder, command), environment })),
    )) {
      expect(stderr).toMatch(/^Redis would evict.*set "maxmemory-policy noeviction".*\n$/);
      expect(code).toBe(2);
    }
  } finally {
    await server.stop();
  }
});

it('every part names the setting when Redis lets it not in', async () => {
  const server = await TestRedis.start('--port', '0');
  const proxy = await FaultyProxy.start(server.socketPath);
  try {
    await server.connect().config('SET', 'requirepass', 'secret');
    for (const user of ['', ':wrong@']) {
      const url = proxy.url.replace('redis://', `redis://${user}`);
      const environment = { REDIS_URL: url, KINORA_INBOX: inbox, KINORA_LOG_LEVEL: 'silent' };
      for (const { code, stderr } of await Promise.all(
        commands.map((command) => runCli([command], { folder: join(folder, command), environment })),
      )) {
        expect(stderr).toMatch(/^REDIS_URL: Redis (asks for a|refuses the user or the) password.*\n$/);
        expect(code).toBe(2);
      }
    }
  } finally {
    await proxy.stop();
    await server.stop();
  }
});

it('a fault is logged without the secrets that its text holds', async () => {
  const faults = [
    'throw new Error("token 123456789:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")',
    'Promise.reject(new Error("https://host/webhooks/1/secretsecret"))',
  ];
  for (const fault of faults) {
    const isReady = 'process.listenerCount("unhandledRejection") > 0';
    const look = `const look = setInterval(() => { if (${isReady}) { clearInterval(look); ${fault}; } }, 20);`;
    await writeFile(join(folder, 'fault.mjs'), look);
    const environment = {
      NODE_OPTIONS: `--import ${join(folder, 'fault.mjs')}`,
      REDIS_URL: 'redis://127.0.0.1:1', // nobody answers there, so it waits
    };
    const { code, stderr } = await runCli(['worker'], { folder, environment });
    expect(stderr).toContain('a fault in Kinora ends this process');
    expect(stderr).not.toMatch(/AAAAAAA|secretsecret/);
    expect(code).toBe(1);
  }
});

it('every part names the setting when its data folder cannot be', async () => {
  await writeFile(join(folder, 'file'), '');
  const given = { KINORA_DATA_DIR: join(folder, 'file', 'data'), KINORA_INBOX: inbox };
  // Nobody answers there; the folder is looked at first.
  const nobody = { REDIS_URL: 'redis://127.0.0.1:1' };
  for (const { code, stderr } of await Promise.all(
    commands.map((command) => {
      const environment = command === 'start' ? given : { ...given, ...nobody };
      return runCli([command], { folder, environment });
    }),
  )) {
    expect(stderr).toMatch(/^KINORA_DATA_DIR: .* cannot be written to \(ENOTDIR\)/m);
    expect(code).toBe(2);
  }
});

it('start ends when a part refuses what it is given, and says why once', async () => {
  const environment = { KINORA_INBOX: inbox, KINORA_DEVICE: 'cuda:7' };
  const { code, stderr } = await runCli(['start'], { folder, environment });
  expect(stderr.match(/^The device cuda:7/gm)).toHaveLength(1);
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(code).toBe(5);
  await eventually('the end of every part', async () => (await processesOf(folder)).length === 0);
});

it('refuses to run twice on one folder, and without anything to take requests from', async () => {
  start();
  await eventually('the inbox', async () => (await readdir(folder)).includes('inbox'));
  const environment = { KINORA_DATA_DIR: join(folder, 'data'), KINORA_INBOX: inbox };
  const second = await runCli(['start'], { folder, environment });
  expect(second.stderr).toMatch(/^Another Kinora \(process \d+\) already runs on \S+\n$/);
  expect(second.code).toBe(2);
  const deaf = await runCli(['start'], { folder, environment: { KINORA_WEB_PORT: '0' } });
  expect(deaf.stderr).toMatch(/nothing to take requests from/);
  expect(deaf.code).toBe(2);
  const alone = await runCli(['worker'], { folder });
  expect(alone.stderr).toMatch(/REDIS_URL is not set/);
});
