/** `npm pack` and the package's life in an empty folder: what somebody does who has no checkout. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';

const project = path.resolve(import.meta.dirname, '../../..');
const run = promisify(execFile);
let root: string;
/** A folder of somebody's, with the package installed. */
let folder: string;
let environment: NodeJS.ProcessEnv;
/** The package. */
let archive: string;

beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'kinora-package-'));
  folder = path.join(root, 'somewhere');
  await mkdir(folder);
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', root], { cwd: project });
  const [{ filename }] = z.tuple([z.object({ filename: z.string() })]).parse(JSON.parse(stdout));
  archive = path.join(root, filename);
  environment = { PATH: process.env['PATH'], HOME: path.join(root, 'home') };
  await writeFile(path.join(folder, 'package.json'), '{"private": true}');
  await run('npm', ['install', '--ignore-scripts', archive], { cwd: folder });
  await copyFile(path.join(project, 'examples/cat.jpg'), path.join(folder, 'photo.jpg'));
});

afterAll(() => rm(root, { recursive: true, force: true }));

const kinora = (...args: string[]) =>
  run('npx', ['--no-install', 'kinora', ...args], { cwd: folder, env: environment });

it('says its version', async () => {
  const { stdout } = await kinora('--version');
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

it('animates a picture with the model that came along', async () => {
  await kinora('animate', 'photo.jpg', 'zoom in', '--preset', 'fast', '--out', 'photo.mp4');
  const { stdout } = await kinora('models', 'verify');
  expect(stdout).toMatch(/builtin/);
  expect(await readdir(folder)).toEqual(
    expect.arrayContaining(['photo.mp4', 'node_modules', 'package.json', 'photo.jpg']),
  );
});

it('keeps its data in the home folder, where an update leaves it alone', async () => {
  expect(await readdir(path.join(root, 'home', '.kinora'))).toEqual(['data']);
  expect(await readdir(path.join(folder, 'node_modules', 'kinora'))).not.toContain('data');
  const settings = path.join(root, 'home', '.kinora', '.env');
  await writeFile(settings, 'KINORA_MODEL=none-of-this-name\n', { mode: 0o600 });
  await expect(kinora('animate', 'photo.jpg', 'zoom in')).rejects.toMatchObject({
    code: 4,
    stderr: expect.stringContaining('none-of-this-name'),
  });
  await rm(settings);
});

it('runs once without being installed', async () => {
  const elsewhere = path.join(root, 'elsewhere');
  await mkdir(elsewhere);
  await copyFile(path.join(project, 'examples/cat.jpg'), path.join(elsewhere, 'photo.jpg'));
  // Settings of npm, such as its registry, are in this user's home.
  const home = { ...process.env, KINORA_DATA_DIR: path.join(root, 'data') };
  const once = [
    '--yes',
    '--ignore-scripts',
    '--package',
    archive,
    'kinora',
    'animate',
    'photo.jpg',
    'zoom in',
  ];
  await run('npx', [...once, '--preset', 'fast', '--out', 'photo.mp4'], { cwd: elsewhere, env: home });
  expect(await readdir(elsewhere)).toContain('photo.mp4');
});
