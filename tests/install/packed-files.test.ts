/** What `npm pack` puts into the package: what runs, and nothing of the workshop. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { z } from 'zod';

const project = path.resolve(import.meta.dirname, '../..');
const listSchema = z.tuple([z.object({ size: z.int(), files: z.array(z.object({ path: z.string() })) })]);
let packed: { readonly size: number; readonly files: ReadonlySet<string> };

beforeAll(() => {
  const text = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: project,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{ size, files }] = listSchema.parse(JSON.parse(text));
  packed = { size, files: new Set(files.map((file) => file.path)) };
});

/** Paths below a folder of the project, relative to the project. */
const filesBelow = (folder: string): string[] =>
  readdirSync(path.join(project, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name}`)
    .filter((name) => statSync(path.join(project, name)).isFile());

it('has all that the server reads, the built page, scripts of Redis and sentences included', () => {
  const isOfPage = (name: string): boolean => name.startsWith('src/web/page/');
  const needed = filesBelow('src').filter((name) => !isOfPage(name));
  expect(needed).toContain('src/queue/lua/admit.lua');
  expect(needed).toContain('src/bot/sentences/zh.ts');
  expect(needed).toContain('src/web/page-built/index.html');
  expect(needed).toContain('src/inference/sessions/thread.mjs');
  expect(needed.filter((name) => !packed.files.has(name))).toEqual([]);
});

it('has the whole model that the manifest names', () => {
  const manifest = readFileSync(path.join(project, 'models/builtin/kinora.json'), 'utf8');
  const named = [...manifest.matchAll(/"([\w/]+\.(?:onnx|json|txt|safetensors|bin))"/g)].map(
    ([, name]) => name,
  );
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((name) => !packed.files.has(`models/builtin/${name}`))).toEqual([]);
});

it('has the pages that sentences and the settings point to', () => {
  const texts = ['.env.example', ...filesBelow('src').filter((name) => /\.(ts|mjs)$/.test(name))];
  // Comments are read in a checkout.
  const isComment = /^\s*(\/?\*|\/\/)/;
  const named = texts.flatMap((name) =>
    readFileSync(path.join(project, name), 'utf8')
      .split('\n')
      .filter((line) => !isComment.test(line))
      .flatMap((line) => line.match(/\b(?:docs|models)\/[\w/-]+\.md\b/g) ?? []),
  );
  expect(named).toContain('docs/web.md');
  expect([...new Set(named)].filter((name) => !packed.files.has(name))).toEqual([]);
});

it('has nothing else', () => {
  const allowed = new Set([
    '.env.example',
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'models/README.md',
    'package.json',
    'tsconfig.json',
  ]);
  const strange = [...packed.files].filter(
    (name) =>
      !allowed.has(name) &&
      !/^docs\/[\w-]+\.md$/.test(name) &&
      !name.startsWith('models/builtin/') &&
      !name.startsWith('deploy/systemd/') &&
      (!name.startsWith('src/') || name.startsWith('src/web/page/') || /\.test\.|\.tsx$/.test(name)),
  );
  expect(strange).toEqual([]);
  expect(packed.size).toBeLessThan(25 * 2 ** 20);
});
