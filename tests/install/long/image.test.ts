/**
 * The image of the Dockerfile's target "cpu": built by buildah in a chroot, run as a container engine would run it. A
 * base image that is not there is made here. Needs Linux, root, buildah and debootstrap: `npm run test:image`.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { startFakeTelegram } from '../../fakes/telegram/server.ts';
import { ffprobe } from '../../helpers/video-fixture.ts';

const project = path.resolve(import.meta.dirname, '../../..');
const image = 'localhost/kinora:cpu';
const base = 'docker.io/library/node:22-bookworm-slim';
const run = promisify(execFile);
const uid = 1000;

const inspectedSchema = z.object({
  Docker: z.object({
    config: z.object({
      User: z.string(),
      Env: z.array(z.string()),
      Entrypoint: z.array(z.string()),
      Cmd: z.array(z.string()),
      Volumes: z.record(z.string(), z.unknown()),
      Healthcheck: z.object({ Test: z.array(z.string()) }),
    }),
  }),
});
let config: z.infer<typeof inspectedSchema>['Docker']['config'];
let container: string;
/** The image's files. */
let root: string;
let folder: string;
let port: number;
const started = new Set<ChildProcess>();

beforeAll(async () => {
  const hasBase = await run('buildah', ['inspect', '--type', 'image', base]).then(
    () => true,
    () => false,
  );
  if (!hasBase) await run('deploy/docker/local-base.sh', [base], { cwd: project });
  await run('deploy/docker/build.sh', ['cpu', image], { cwd: project, maxBuffer: 2 ** 26 });
  const { stdout } = await run('buildah', ['inspect', '--type', 'image', image]);
  ({ config } = inspectedSchema.parse(JSON.parse(stdout)).Docker);
  container = (await run('buildah', ['from', '--pull-never', image])).stdout.trim();
  root = (await run('buildah', ['mount', container])).stdout.trim();
  folder = await mkdtemp(path.join(tmpdir(), 'kinora-image-'));
  for (const name of ['data', 'models']) await mkdir(path.join(folder, name));
  await copyFile(path.join(project, 'examples/cat.jpg'), path.join(folder, 'data/cat.jpg'));
  await chown(path.join(folder, 'data'), uid, uid);
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  port = z.object({ port: z.int() }).parse(probe.address()).port;
  probe.close();
});

afterAll(async () => {
  for (const child of started) child.kill('SIGKILL');
  if (container) await run('buildah', ['rm', container]);
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** @param settings of Kinora, each as NAME=VALUE */
function inImage(command: readonly string[], settings: readonly string[] = []): ChildProcess {
  const ours = [`KINORA_WEB_PORT=${port}`, 'KINORA_WEB_HOST=127.0.0.1', 'KINORA_THREADS=2', ...settings];
  const args = [root, path.join(folder, 'data'), path.join(folder, 'models'), config.User];
  const script = path.join(import.meta.dirname, 'in-image.sh');
  const child = spawn(script, [...args, ...config.Env, ...ours, '--', ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.add(child);
  child.once('exit', () => started.delete(child));
  return child;
}

async function outputOf(child: ChildProcess) {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
  }
  const [code] = await once(child, 'close');
  return { code, text };
}

/** Process 1 inside, as this machine numbers it. */
async function firstInside(child: ChildProcess): Promise<number> {
  const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
  return Number(children.trim());
}

async function eventually<T>(what: string, look: () => Promise<T | undefined>, seconds = 300): Promise<T> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await sleep(250);
  }
}

const healthCode = async (): Promise<unknown> =>
  (await outputOf(inImage(config.Healthcheck.Test.slice(1)))).code;
const untilHealthy = () => eventually('healthy', async () => ((await healthCode()) === 0 ? true : undefined));
let log = '';
const start = (settings?: readonly string[]): ChildProcess => {
  const child = inImage([...config.Entrypoint, ...config.Cmd], settings);
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (piece: string) => {
      log += piece;
    });
  }
  return child;
};

async function api(key: string, place: string, body?: FormData): Promise<Response> {
  const headers = { authorization: `Bearer ${key.trim()}` };
  const url = `http://127.0.0.1:${port}/v1/videos${place}`;
  return body ? await fetch(url, { method: 'POST', headers, body }) : await fetch(url, { headers });
}

async function ask(key: string, prompt: string): Promise<string> {
  const body = new FormData();
  const picture = await readFile(path.join(folder, 'data/cat.jpg'));
  body.set('input_reference', new Blob([picture], { type: 'image/jpeg' }), 'cat.jpg');
  body.set('prompt', prompt);
  const answer = await api(key, '', body);
  return z.object({ id: z.string() }).parse(await answer.json()).id;
}

async function videoOf(key: string, id: string): Promise<Buffer> {
  await eventually('the video is made', async () => {
    const answer = await api(key, `/${id}`).catch(() => undefined);
    if (answer?.status !== 200) return undefined;
    const { status } = z.object({ status: z.string() }).parse(await answer.json());
    expect(status).not.toBe('failed');
    return status === 'completed' ? true : undefined;
  });
  return Buffer.from(await (await api(key, `/${id}/content`)).arrayBuffer());
}
const isMp4 = (bytes: Buffer): boolean => bytes.toString('latin1', 4, 8) === 'ftyp' && bytes.length > 10_000;

it('is for somebody without rights, with volumes and a health check', async () => {
  expect(config.User).toBe(`${uid}:${uid}`);
  expect(Object.keys(config.Volumes).sort()).toEqual(['/data', '/models']);
  expect(config.Healthcheck.Test[0]).toBe('CMD');
  const look =
    'id -u; touch /app/x 2>&1; ls -a /app; command -v python3; ls /app/src/web; cat /proc/self/status';
  const { text } = await outputOf(inImage(['/bin/sh', '-c', look]));
  expect(text).toMatch(/^1000\n/);
  expect(text).toContain('Read-only file system');
  expect(text).toMatch(/NoNewPrivs:\s+1/);
  expect(text).not.toMatch(/^(tests|docs|\.env|\.git|page|.*python3)$/m);
});

it("runs the README's first command", async () => {
  const args = ['animate', 'cat.jpg', 'camera slowly zooming in', '--out', 'cat.mp4'];
  const { code, text } = await outputOf(inImage([...config.Entrypoint, ...args]));
  expect(text).toContain('understood: zoom in');
  expect(code).toBe(0);
  expect(isMp4(await readFile(path.join(folder, 'data/cat.mp4')))).toBe(true);
});

it('is healthy as a worker, and as a bot without a page', async () => {
  // Process 1 with the arguments that tini has, and the check in its place.
  const checkIn = async (check: string, command: string): Promise<unknown> =>
    (await outputOf(inImage(['/bin/sh', '-c', `${check}; exit $?`, '/app/src/kinora.mjs', command]))).code;
  const check = 'node /app/healthcheck.mjs';
  expect(await checkIn(check, 'worker')).toBe(0);
  expect(await checkIn(`KINORA_WEB_PORT= ${check}`, 'bot')).toBe(0);
  expect(await checkIn(check, 'bot')).toBe(1);
});

it('answers a photo in a chat with a video', async () => {
  const telegram = await startFakeTelegram();
  onTestFinished(() => telegram.stop());
  const child = start([`KINORA_TELEGRAM_TOKEN=${telegram.token}`, `KINORA_TELEGRAM_API=${telegram.apiRoot}`]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const chat = telegram.privateChat();
  await chat.sendsPhoto(await readFile(path.join(folder, 'data/cat.jpg')), 'camera slowly zooming in');
  const videos = () => telegram.answers(chat).flatMap(({ video }) => video ?? []);
  await telegram.until(() => videos().length > 0, 300_000);
  process.kill(await firstInside(child), 'SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);

  const [video, ...others] = videos();
  expect(others).toEqual([]);
  const file = path.join(folder, 'answer.mp4');
  await writeFile(file, video?.file.bytes ?? '');
  const { stream } = ffprobe(file);
  expect(stream).toMatchObject({ codec_name: 'h264', width: video?.width, height: video?.height });
  expect(stream.nb_read_frames).toBeGreaterThan(1);
  expect(log).not.toContain(telegram.token);
});

it('makes videos, loses none when it is killed, and stops in time', async () => {
  expect(await healthCode()).toBe(1);
  let child = start();
  await untilHealthy();
  const made = await outputOf(inImage(['kinora', 'keys', 'create', 'test']));
  const key = /kinora_\w+/.exec(made.text)?.[0] ?? '';
  expect(isMp4(await videoOf(key, await ask(key, 'pan left')))).toBe(true);

  const id = await ask(key, 'zoom in');
  await eventually('it has begun', async () => {
    const { progress } = z.object({ progress: z.number() }).parse(await (await api(key, `/${id}`)).json());
    return progress > 0 ? true : undefined;
  });
  process.kill(await firstInside(child), 'SIGKILL');
  await once(child, 'exit');
  expect(await healthCode()).toBe(1);
  child = start();
  expect(isMp4(await videoOf(key, id))).toBe(true);
  await untilHealthy();

  const stopping = await ask(key, 'zoom out');
  const askedAt = performance.now();
  process.kill(await firstInside(child), 'SIGTERM');
  const [code] = await once(child, 'exit');
  expect(code).toBe(0);
  expect(performance.now() - askedAt).toBeLessThan(90_000);
  child = start();
  expect(isMp4(await videoOf(key, stopping))).toBe(true);
  process.kill(await firstInside(child), 'SIGTERM');
  await once(child, 'exit');
  expect(log).toContain('"kinora sign-in", run in this container, prints a link');
  expect(log).not.toContain('/sign-in#');
});
