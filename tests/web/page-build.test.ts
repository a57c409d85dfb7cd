/** The page as it is built: small enough, and nothing in it that its policy or an offline machine would refuse. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { builtPage } from '../../src/web/platform.ts';

const configFile = fileURLToPath(new URL('../../src/web/page/vite.config.ts', import.meta.url));
let folder: string;
let html: string;
const files = new Map<string, string>();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-page-'));
  vi.stubEnv('NODE_ENV', 'production'); // as it is where no test runs
  await build({ configFile, logLevel: 'error', build: { outDir: folder } });
  html = await readFile(join(folder, 'index.html'), 'utf8');
  for (const name of await readdir(join(folder, 'assets'))) {
    files.set(`/assets/${name}`, await readFile(join(folder, 'assets', name), 'utf8'));
  }
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

it('is shipped as its sources give it: "npm run build:page" builds it anew', async () => {
  const namesOf = async (of: string): Promise<string[]> =>
    (await readdir(of, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => relative(of, join(entry.parentPath, entry.name)))
      .sort();
  const names = await namesOf(folder);
  expect(await namesOf(builtPage)).toEqual(names);
  for (const name of names) {
    const [shipped, built] = await Promise.all([builtPage, folder].map((of) => readFile(join(of, name))));
    expect(built && shipped?.equals(built), name).toBe(true);
  }
});

/** Scripts that the browser fetches before it shows the first screen. */
function firstScripts(): string[] {
  const found = [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+\.js)"/g)].map(([, name]) => name ?? '');
  for (const name of found) {
    for (const [, imported] of (files.get(name) ?? '').matchAll(/(?:import|from)\s*"\.\/([^"]+\.js)"/g)) {
      const path = `/assets/${imported}`;
      if (!found.includes(path)) found.push(path);
    }
  }
  return found;
}

it('loads at most 80 kB of script before its first screen', () => {
  const scripts = firstScripts();
  expect(scripts.length).toBeGreaterThan(0);
  const bytes = scripts.reduce((sum, name) => sum + gzipSync(files.get(name) ?? '').length, 0);
  expect(bytes).toBeLessThanOrEqual(80_000);
});

it('has a chunk of its own for every other screen', () => {
  for (const screen of ['library', 'clip', 'machine', 'account', 'sign-in']) {
    expect(
      [...files.keys()].some((name) => name.startsWith(`/assets/${screen}-`)),
      screen,
    ).toBe(true);
  }
});

it('has no script or style inline, and fetches nothing from elsewhere', () => {
  expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/);
  for (const [name, text] of [...files, ['/index.html', html] as const]) {
    // Where something would be fetched: a sentence may name an address.
    expect(text, name).not.toMatch(
      /(?:src|href|action)\s*[:=]\s*\\?["'`]https?:|(?:fetch|import|EventSource|WebSocket|url)\(\s*["'`]?(?:https?|wss?):/,
    );
    expect(text, name).not.toMatch(/url\(["']?data:|@font-face/);
  }
});

it('names each file after its content, so that browsers may keep it for good', () => {
  for (const name of files.keys()) expect(name).toMatch(/-[\w-]{8}\.\w+$/);
});

it('has no code of the server', () => {
  const all = [...files.values()].join('\n');
  expect(all).not.toMatch(/ZodError|ioredis|KinoraError|PACK_NOT_FOUND/);
});
