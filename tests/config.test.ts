import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { environmentSchema, inspectConfig, loadConfig, unknownSettings } from '../src/config.ts';

const example = readFileSync(new URL('../.env.example', import.meta.url), 'utf8');
/** Behind this come those of compose.yaml: tests/install/containers.test.ts. */
const [ours = ''] = example.split('# --- Compose alone');
const documented = new Map(
  [...ours.matchAll(/^# ([A-Z][A-Z0-9_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
);
const names = Object.keys(environmentSchema.shape);
const read = (environment: NodeJS.ProcessEnv): ReturnType<typeof loadConfig> =>
  loadConfig({ KINORA_ENV_FILE: '/dev/null', ...environment });

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
    ['KINORA_VRAM_GB', '0'],
    ['KINORA_VRAM_GB', 'all'],
    ['KINORA_WARMUP', 'on'],
    ['KINORA_WARMUP', '512x512'],
    ['KINORA_CACHE_MEMORY_MB', '1e99'],
    ['KINORA_SCHEDULER', 'heun'],
    ['KINORA_GUIDANCE_END', '1.5'],
    ['KINORA_REUSE', '4'],
    ['KINORA_METADATA', 'yes'],
    ['KINORA_LOG_LEVEL', 'loud'],
    ['KINORA_TELEGRAM_API', '127.0.0.1:8081'],
    ['KINORA_PUBLIC_URL', 'kinora.example'],
    ['KINORA_PUBLIC_URL', 'http://kinora.example'],
    ['KINORA_PUBLIC_URL', 'http://127.0.0.1.evil.example'],
    ['KINORA_PUBLIC_URL', 'http://8.8.8.8'],
    ['KINORA_PUBLIC_URL', 'https://kinora.example/studio'],
    ['KINORA_PUBLIC_URL', 'https://kinora.example/?'],
    ['KINORA_PUBLIC_URL', 'https://user:word@kinora.example'],
    ['KINORA_PUBLIC_URL', 'ftp://kinora.example'],
    ['HTTPS_PROXY', 'ftp://proxy:21'],
    ['ALL_PROXY', 'socks4://proxy:1080'],
    ['KINORA_DISCORD_TOKEN', 'your-token-here'],
    ['KINORA_DISCORD_SHARDS', '0'],
    ['KINORA_DISCORD_SHARDS', '257'],
    ['KINORA_DISCORD_SHARDS', 'auto'],
    ['REDIS_URL', 'http://localhost'],
    ['REDIS_URL', 'redis://:p@ss:w/o#r%d+=@127.0.0.1:6379'],
    ['REDIS_URL', 'redis://user:12/ss@host'],
    ['REDIS_URL', 'redis://user:12#ss@host'],
    ['REDIS_URL', 'redis://user:12?ss@host'],
    ['REDIS_URL', 'redis://:a%d@host'],
    ['REDIS_URL', 'redis://host/jobs'],
    ['REDIS_URL', 'redis://'],
    ['REDIS_URL', 'unix://'],
    ['REDIS_URL', 'redis+sentinel://host'],
    ['REDIS_URL', 'redis+sentinel://host:26379,/mine'],
    ['REDIS_URL', 'redis+sentinel://:p@ss@host/mine'],
    ['REDIS_URL', 'redis+sentinel://host/mine?password=word'],
    ['REDIS_URL', 'redis+cluster://host:70000'],
    ['REDIS_URL', 'redis+cluster://host/3'],
    ['REDIS_URL', 'redis+cluster://:a%d@host'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => read({ [name]: value })).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }));
    expect(() => read({ [name]: value })).toThrow(new RegExp(`^${name}: `));
  });

  it.each([
    ['https://Kinora.example/', 'https://kinora.example'],
    ['https://kinora.example:8443', 'https://kinora.example:8443'],
    ['http://localhost:7080', 'http://localhost:7080'],
    ['http://[::1]:7080', 'http://[::1]:7080'],
    ['http://192.168.1.20:7080/', 'http://192.168.1.20:7080'],
  ])('takes %s as the address of the page', (value, origin) => {
    expect(read({ KINORA_PUBLIC_URL: value }).web.publicUrl).toBe(origin);
  });

  it.each([
    'redis://:p%40ss%3Aw%2Fo%23r%25d+=@127.0.0.1:6379/3',
    'rediss://host',
    'unix:///run/redis.sock',
    'redis+sentinel://a:26379,b,[::1]:26380/mine/2',
    'rediss+sentinel://user:p%40ss@a/mine?sentinelPassword=w%23rd',
    'redis+cluster://:p%40ss@a:7000,b:7001',
    'rediss+cluster://a/0',
  ])('takes REDIS_URL=%s', (url) => {
    expect(read({ REDIS_URL: url }).redis).toBeDefined();
  });

  it('names what is wrong to whoever looks at the rest, too', () => {
    const environment = { KINORA_ENV_FILE: '/dev/null', KINORA_THREADS: '-1', KINORA_QUEUE_LIMIT: '7' };
    const { config, problems } = inspectConfig(environment);
    expect(problems).toEqual(['KINORA_THREADS: expected a whole number from 0 to 256']);
    expect(config).toEqual(read({ KINORA_QUEUE_LIMIT: '7' }));
  });

  it('never repeats a value, which may be a secret', () => {
    for (const url of [
      'tcp://:hunter2@host',
      'redis+sentinel://:hunter2@host',
      'redis+cluster://:hunter2@',
    ]) {
      expect(() => read({ REDIS_URL: url })).toThrow(/^(?!.*hunter2)/);
    }
  });

  it('names everything that is wrong at once', () => {
    expect(() => read({ KINORA_THREADS: '-1', KINORA_QUEUE_LIMIT: '0' })).toThrow(
      'KINORA_THREADS: expected a whole number from 0 to 256; ' +
        'KINORA_QUEUE_LIMIT: expected a whole number from 1 to 1000000.',
    );
  });

  it('keeps to the exact path unless it is told otherwise', () => {
    expect(read({}).shortcuts).toEqual({ guidanceEnd: 1, featureReuse: 1 });
    const quick = { KINORA_SCHEDULER: 'dpm++2m', KINORA_GUIDANCE_END: '0.6', KINORA_REUSE: '3' };
    expect(read(quick).shortcuts).toEqual({ scheduler: 'dpm++2m', guidanceEnd: 0.6, featureReuse: 3 });
  });

  it('reads the memory of the GPU and the shapes to warm up with', () => {
    expect(read({})).toMatchObject({ vramBytes: undefined, warmUp: undefined });
    expect(read({ KINORA_VRAM_GB: '7.5' }).vramBytes).toBe(7.5 * 2 ** 30);
    expect(read({ KINORA_WARMUP: 'off' }).warmUp).toEqual([]);
    expect(read({ KINORA_WARMUP: '512x512x16, 768x512x8' }).warmUp).toEqual([
      { width: 512, height: 512, numFrames: 16 },
      { width: 768, height: 512, numFrames: 8 },
    ]);
  });

  it.each([
    ['10m', 600_000],
    ['90s', 90_000],
    ['2 h', 7_200_000],
    ['off', undefined],
  ])('reads KINORA_IDLE_UNLOAD=%s', (text, ms) => {
    expect(read({ KINORA_IDLE_UNLOAD: text }).idleUnloadMs).toBe(ms);
  });

  it.each(['10', '5s', '25h', 'never'])('refuses KINORA_IDLE_UNLOAD=%s', (text) => {
    expect(() => read({ KINORA_IDLE_UNLOAD: text })).toThrow(/KINORA_IDLE_UNLOAD.*expected off, or a time/);
  });

  it('knows proxies in small letters, and without their scheme', () => {
    const proxies = { https: 'http://proxy:3128', http: undefined, all: 'socks5h://u:p@proxy:1', no: 'a.b' };
    const values = { https_proxy: 'proxy:3128', ALL_PROXY: 'socks5h://u:p@proxy:1', no_proxy: 'a.b' };
    expect(read(values).proxies).toEqual(proxies);
  });

  it('takes an empty value as unset', () => {
    expect(read({ KINORA_DEVICE: '', FFMPEG_PATH: ' ' })).toEqual(read({}));
  });
});

describe('the file of settings', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'kinora-config-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const write = (text: string | Uint8Array): string => {
    const file = path.join(folder, 'settings');
    writeFileSync(file, text);
    return file;
  };

  it('yields to the environment', () => {
    const KINORA_ENV_FILE = write('KINORA_THREADS=3\nKINORA_QUEUE_LIMIT=7\n');
    expect(loadConfig({ KINORA_ENV_FILE, KINORA_THREADS: '5' })).toMatchObject({
      threads: 5,
      queue: { limits: { queue: 7 } },
    });
  });

  it('counts relative folders from where it lies, and leaves names alone', () => {
    const KINORA_ENV_FILE = write('KINORA_DATA_DIR=./state\nKINORA_MODEL=builtin\n');
    const config = loadConfig({ KINORA_ENV_FILE });
    expect(config.dataDir).toBe(path.join(folder, 'state'));
    expect(config.model).toBe('builtin');
  });

  it('knows the home folder as ~', () => {
    const KINORA_ENV_FILE = write('KINORA_DATA_DIR=~/kinora\nKINORA_INBOX="~"\nFFMPEG_PATH=~/bin/ffmpeg\n');
    const config = loadConfig({ KINORA_ENV_FILE, KINORA_MODEL: '~/packs/mine' });
    expect(config.dataDir).toBe(path.join(homedir(), 'kinora'));
    expect(config.inboxFolder).toBe(homedir());
    expect(config.ffmpegPath).toBe(path.join(homedir(), 'bin', 'ffmpeg'));
    expect(config.model).toBe(path.join(homedir(), 'packs', 'mine'));
  });

  it.each([
    ['with its mark', Buffer.from('\ufeffKINORA_THREADS=3\n', 'utf16le')],
    ['big end first', Buffer.from('\ufeffKINORA_THREADS=3\n', 'utf16le').swap16()],
    ['without a mark', Buffer.from('KINORA_THREADS=3\n', 'utf16le')],
  ])('is refused in UTF-16 %s', (_, bytes) => {
    const KINORA_ENV_FILE = write(bytes);
    expect(() => loadConfig({ KINORA_ENV_FILE })).toThrow(/settings is not UTF-8 text; it looks like UTF-16/);
  });

  it('may begin with the mark of UTF-8', () => {
    expect(loadConfig({ KINORA_ENV_FILE: write('\ufeffKINORA_THREADS=3\r\n') }).threads).toBe(3);
  });

  it('must exist when it is named', () => {
    const KINORA_ENV_FILE = path.join(folder, 'absent');
    expect(() => loadConfig({ KINORA_ENV_FILE })).toThrow(/^KINORA_ENV_FILE: /);
  });

  it('has its misspelt names found', () => {
    const KINORA_ENV_FILE = write('KINORA_THREAD=3\n');
    expect(unknownSettings({ KINORA_ENV_FILE, KINORA_MODLE: 'x', KINORA_KEY: 'kinora_x' })).toEqual([
      'KINORA_MODLE',
      'KINORA_THREAD',
    ]);
  });
});
