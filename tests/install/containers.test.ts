/** Dockerfile and compose.yaml say what the code and each other say. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { environmentSchema } from '../../src/config.ts';

const project = path.resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(project, file), 'utf8');
const dockerfile = read('Dockerfile');
const compose = read('compose.yaml');
/** The instructions of a stage from its variables on: how the image is run. */
const runOf = (stage: string): string =>
  new RegExp(`^FROM \\S+ AS ${stage}\\n.*?(^ENV .*?)(?=^FROM |$(?![\\s\\S]))`, 'ms')
    .exec(dockerfile)?.[1]
    ?.trim() ?? '';

it('both targets are run alike', () => {
  expect(runOf('cpu')).toMatch(/^ENV [\s\S]*HEALTHCHECK[\s\S]*CMD \["start"\]$/);
  expect(runOf('cuda')).toBe(runOf('cpu'));
});

it('sets what is a setting', () => {
  const names = [...`${dockerfile}\n${compose}`.matchAll(/\b(KINORA_[A-Z_]+|REDIS_URL)\b/g)].map(
    ([name]) => name,
  );
  expect(names.length).toBeGreaterThan(10);
  expect([...new Set(names)].filter((name) => !(name in environmentSchema.shape))).toEqual([]);
});

it('has its own variables, with their defaults, in the last part of .env.example', () => {
  const [, part = ''] = read('.env.example').split('# --- Compose alone');
  const documented = [...part.matchAll(/^# ([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => `${name}=${value}`);
  const own = [...compose.matchAll(/\$\{([A-Z_]+):[-+](.*?)\}/g)]
    .filter(([, name = '']) => !(name in environmentSchema.shape))
    .map(([, name, value]) => `${name}=${value}`);
  expect(own.length).toBeGreaterThan(3);
  expect(documented.sort()).toEqual([...new Set([...own, 'COMPOSE_PROFILES='])].sort());
});

it('leaves time for a stop', () => {
  const seconds = Number(/stop_grace_period: \$\{\w+:-(\d+)s\}/.exec(compose)?.[1]);
  expect(seconds).toBeGreaterThanOrEqual(environmentSchema.parse({}).KINORA_GRACE_SECONDS + 30);
});

it('mounts and copies files that are there', () => {
  const mounted = [...compose.matchAll(/- (\.\/[\w./-]+):/g)].map(([, file = '']) => file);
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, files = '']) =>
    files.split(' '),
  );
  expect(mounted.length).toBeGreaterThan(3);
  expect(copied).toContain('package-lock.json');
  expect([...mounted, ...copied].filter((file) => !existsSync(path.join(project, file)))).toEqual([]);
});
