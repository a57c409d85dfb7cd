import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { environmentSchema, loadConfig } from '../src/config.ts';

const example = readFileSync(new URL('../.env.example', import.meta.url), 'utf8');
const documented = new Map(
  [...example.matchAll(/^# ([A-Z][A-Z0-9_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
);
const names = Object.keys(environmentSchema.shape);
const read = (environment: NodeJS.ProcessEnv): ReturnType<typeof loadConfig> =>
  loadConfig(environment, '/dev/null');

describe('.env.example', () => {
  it('documents every setting, and nothing else', () => {
    expect([...documented.keys()].sort()).toEqual([...names].sort());
  });

  it('shows the defaults', () => {
    const shown = Object.fromEntries([...documented].filter(([, value]) => value !== ''));
    expect(read(shown)).toEqual(read({}));
    for (const name of Object.keys(shown)) expect(environmentSchema.parse({})).toHaveProperty(name);
  });
});

describe('the configuration', () => {
  it.each([
    ['KINORA_DEVICE', 'gpu'],
    ['KINORA_THREADS', '-1'],
    ['KINORA_THREADS', 'many'],
    ['KINORA_CACHE_MEMORY_MB', '1e99'],
    ['KINORA_METADATA', 'yes'],
    ['KINORA_LOG_LEVEL', 'loud'],
    ['REDIS_URL', 'http://localhost'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => read({ [name]: value })).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }));
    expect(() => read({ [name]: value })).toThrow(new RegExp(`^${name}: `));
  });

  it('never repeats a value, which may be a secret', () => {
    expect(() => read({ REDIS_URL: 'tcp://:hunter2@host' })).toThrow(/^(?!.*hunter2)/);
  });

  it('takes an empty value as unset', () => {
    expect(read({ KINORA_DEVICE: '', FFMPEG_PATH: ' ' })).toEqual(read({}));
  });
});
