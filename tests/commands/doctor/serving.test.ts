/** `kinora doctor` judges what `npm start` needs. */
import { once } from 'node:events';
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../../helpers/run-cli.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'kinora-doctor-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Check {
  readonly name: string;
  readonly state: string;
  readonly detail: string;
  readonly remedy?: string;
}

async function examine(
  environment: NodeJS.ProcessEnv,
): Promise<{ readonly code: number | null; readonly check: (name: string) => Check | undefined }> {
  const settings = { KINORA_ENV_FILE: '/dev/null', KINORA_WEB_PORT: '0', KINORA_INBOX: './inbox' };
  const { code, stdout } = await runCli(['doctor', '--json'], {
    folder,
    environment: { ...settings, ...environment },
  });
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  return { code, check: (name) => checks.find((each) => each.name === name) };
}

describe('doctor', () => {
  it('misses redis-server and an ffmpeg of this decade', async () => {
    const bin = path.join(folder, 'bin');
    await mkdir(bin);
    await symlink(process.execPath, path.join(bin, 'node'));
    const { code, check } = await examine({ PATH: bin });
    expect(check('Redis')).toMatchObject({ state: 'fail', remedy: expect.stringContaining('apt install') });
    expect(check('ffmpeg')).toMatchObject({ state: 'warn', detail: expect.stringContaining('an old build') });
    expect(code).toBe(1);
  });

  it('misses anything to take requests from, and finds a token under the name of other programs', async () => {
    const nobody = await examine({ KINORA_INBOX: '' });
    expect(nobody.check('chats')).toMatchObject({
      state: 'fail',
      detail: expect.stringMatching(/nothing to take requests from/),
    });
    expect(nobody.code).toBe(1);
    const misnamed = await examine({ KINORA_INBOX: '', DISCORD_TOKEN: 'a.b.c' });
    expect(misnamed.check('chats')).toMatchObject({
      state: 'fail',
      detail: 'without effect: DISCORD_TOKEN',
      remedy: expect.stringContaining('KINORA_DISCORD_TOKEN'),
    });
    expect(misnamed.code).toBe(1);
    const impossible = await examine({ KINORA_DISCORD_TOKEN: 'your-token-here' });
    expect(impossible.check('settings')).toMatchObject({
      state: 'fail',
      detail: expect.stringMatching(/^KINORA_DISCORD_TOKEN: /),
    });
    expect(impossible.code).toBe(1);
  });

  it('refuses an inbox that is a file, and a port that is taken', async () => {
    await writeFile(path.join(folder, 'file'), '');
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { code, check } = await examine({ KINORA_INBOX: './file', KINORA_METRICS_PORT: String(port) });
    server.close();
    expect(check('inbox')).toMatchObject({
      state: 'fail',
      detail: expect.stringMatching(/^KINORA_INBOX: .* is not a folder/),
    });
    expect(check('ports')).toMatchObject({
      state: 'fail',
      detail: `127.0.0.1:${port} cannot be used (EADDRINUSE)`,
    });
    expect(code).toBe(1);
  });

  it('says that others may read the file of settings', async () => {
    const file = path.join(folder, 'settings');
    await writeFile(file, 'KINORA_THREADS=1\n');
    await chmod(file, 0o644);
    const open = await examine({ KINORA_ENV_FILE: file });
    expect(open.check('secrecy')).toMatchObject({ state: 'warn', remedy: `Run: chmod 600 "${file}"` });
    expect(open.code).toBe(0);
    await chmod(file, 0o600);
    expect((await examine({ KINORA_ENV_FILE: file })).check('secrecy')).toBeUndefined();
  });
});

describe('before anything is loaded', () => {
  const source = fileURLToPath(new URL('../../../src/kinora.mjs', import.meta.url));

  it('one sentence says that the packages are not installed', async () => {
    const entry = path.join(folder, 'src', 'kinora.mjs');
    await mkdir(path.dirname(entry));
    await copyFile(source, entry);
    expect(await runCli(['start'], { folder, entry })).toEqual({
      code: 1,
      stdout: '',
      stderr: `Kinora's packages are not installed, or not all of them: run "npm ci" in ${folder}/ first.\n`,
    });
  });

  it('the folder that somebody stands in has no say in what is loaded', async () => {
    const paths = { commander: ['./foreign.mjs'] };
    await writeFile(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { paths } }));
    await writeFile(path.join(folder, 'foreign.mjs'), "throw new Error('loaded');");
    expect(await runCli(['--version'], { folder })).toMatchObject({ code: 0, stderr: '' });
  });

  it('one sentence says that Node is too old', async () => {
    const old =
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.4' } })";
    await writeFile(path.join(folder, 'old.mjs'), old);
    const environment = { NODE_OPTIONS: `--import=${path.join(folder, 'old.mjs')}` };
    expect(await runCli(['doctor'], { folder, environment })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'Kinora needs Node 20.19 or newer, and this is 18.20.4: install it from https://nodejs.org.\n',
    });
  });
});
