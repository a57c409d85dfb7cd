/**
 * Lets clients of others, as they are published, loose on a real Kinora with the built-in model:
 *
 *   tsx tests/web/clients/run.ts --python VENV/bin --openai FOLDER --node NODE…
 *
 * The virtual environment has requirements.txt, FOLDER a node_modules/openai, and each NODE is one that it runs on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = import.meta.dirname;
const root = fileURLToPath(new URL('../../..', import.meta.url));
const kinora = path.join(root, 'src/kinora.mjs');
const picture = path.join(root, 'examples/cat.jpg');
const startMs = 60_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens
  server.close();
  await once(server, 'close');
  return port;
}

/** @returns what it printed on stdout */
async function run(
  program: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  const began = Date.now();
  const child = spawn(program, args, { env: environment, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${program} ended with ${code}\n${stdout}\n${stderr}`);
  process.stderr.write(`${path.basename(args.find((arg) => /\.\w+$/.test(arg)) ?? program)}: `);
  process.stderr.write(`${((Date.now() - began) / 1000).toFixed(1)} s\n`);
  return stdout;
}

async function untilReady(address: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + startMs;
  while (Date.now() < deadline && child.exitCode === null) {
    const isReady = await fetch(`${address}/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return;
    await sleep(500);
  }
  throw new Error('Kinora did not start.');
}

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: '' },
    openai: { type: 'string', default: root },
    node: { type: 'string', multiple: true, default: [process.execPath] },
  },
});
const folder = await mkdtemp(path.join(tmpdir(), 'kinora-clients-'));
const port = await freePort();
const address = `http://127.0.0.1:${port}`;
const { PATH, HOME } = process.env;
const environment = {
  ...{ PATH, HOME },
  KINORA_DATA_DIR: path.join(folder, 'data'),
  KINORA_WEB_PORT: String(port),
  KINORA_CREDITS_PER_DAY: '100000',
};
const server = spawn(process.execPath, [kinora, 'start'], { env: environment, stdio: 'inherit' });
try {
  await untilReady(address, server);
  const createKey = [kinora, 'keys', 'create', 'clients', '--scope', 'use,admin'];
  const key = (await run(process.execPath, createKey, environment)).trim();
  const clients = {
    ...{ PATH, HOME, OPENAI_BASE_URL: `${address}/v1`, OPENAI_API_KEY: key },
    LITELLM_LOCAL_MODEL_COST_MAP: 'True', // it would be fetched
    ...{ PYTHONWARNINGS: 'ignore', PYTHONDONTWRITEBYTECODE: '1' },
  };
  for (const node of values.node)
    await run(node, [path.join(here, 'openai-client.mjs'), picture, values.openai], clients);
  const python = path.join(values.python, 'python');
  for (const client of ['openai_client.py', 'litellm_client.py'])
    await run(python, [path.join(here, client), picture], clients);
  // Last, since it pauses Kinora. Left out: the deletion of its own key, and streams, which do not end.
  await run(
    path.join(values.python, 'schemathesis'),
    [
      ...[
        '--config-file',
        path.join(here, 'schemathesis.toml'),
        'run',
        `${address}/openapi.json`,
        '--max-examples',
        '5',
      ],
      ...['-H', `Authorization: Bearer ${key}`, '-H', `Origin: ${address}`],
      ...['--exclude-name', 'DELETE /v1/account', '--exclude-path-regex', '/(events|log)$'],
      // Seconds: beside other tests an answer may take longer than the usual ten.
      ...['--request-timeout', '60', '--phases', 'coverage,fuzzing', '--no-color'],
    ],
    clients,
  );
} finally {
  server.kill('SIGTERM');
  if (server.exitCode === null) await once(server, 'exit');
  await rm(folder, { recursive: true, force: true });
}
