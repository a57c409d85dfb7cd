import { execFileSync } from 'node:child_process';
import {
  appendFile,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InboxPlatform } from '../../src/bot/inbox.ts';
import { DeliveryWorker } from '../../src/bot/upkeep/delivery.ts';
import type { Artifact } from '../../src/queue/jobs.ts';
import { pictureBytes, Talk } from '../helpers/conversation-fixture.ts';
import { eventually, log, timedGenerator } from '../helpers/queue-harness.ts';

let talk: Talk;
let inbox: InboxPlatform;
let folder: string;
let said: string[];
const cleanups: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  talk = await Talk.start();
  folder = join(talk.harness.folder, 'inbox');
  await mkdir(folder);
  said = [];
  await open();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await talk.harness.stop();
});

const quickMs = 150;

/** Begins to watch, as a start of Kinora does. */
async function open(lookEveryMs = quickMs): Promise<void> {
  const recordsFile = join(talk.harness.folder, 'inbox.json');
  inbox = new InboxPlatform(folder, log, {
    recordsFile,
    lookEveryMs,
    say: (line) => said.push(line),
  });
  await inbox.start(talk.services);
  const opened = inbox;
  cleanups.push(() => opened.stop());
}

const names = (): Promise<string[]> => readdir(folder);
const pending = (): Promise<string[]> => talk.harness.server.connect().zrange('{t}:pending', '0', '-1');

/** Makes what waits, and brings it into the folder. */
async function serve(jobMs = 10, report: Partial<Artifact> = {}): Promise<void> {
  const { harness } = talk;
  const generate = timedGenerator(jobMs);
  await harness.worker(async (...job) => ({ ...(await generate(...job)), ...report }));
  const delivery = new DeliveryWorker(
    harness.server.patient(),
    harness.artifacts,
    (entry, answer) => inbox.deliver(entry, answer),
    log,
    {},
    harness.keys,
  );
  await delivery.start();
  cleanups.push(() => delivery.stop());
}

it('a picture whose request was withdrawn, because Redis did not answer, is asked for anew', async () => {
  await writeFile(join(folder, 'cat.jpg'), await pictureBytes());
  await eventually('the request', async () => (await pending()).length === 1);
  const [id = ''] = await pending();
  const ask = (await talk.harness.server.connect().hget(`{t}:job:${id}`, 'ask')) ?? '';
  expect(await talk.client.ledger.withdraw(id, ask, Date.now(), 60)).toBe(true);
  await eventually('another request', async () => (await pending()).length === 1);
  expect(await pending()).toEqual([`${id}-2`]);
  await serve();
  await eventually('the video', async () => (await names()).includes('cat.mp4'));
  expect(await readFile(join(folder, 'cat.mp4'), 'utf8')).toBe(`video of ${id}-2`);
});

it('says with a video what the model understood of its words', async () => {
  await writeFile(join(folder, 'cat.txt'), 'zoom out and let it snow');
  await writeFile(join(folder, 'cat.jpg'), await pictureBytes());
  const zoom = [{ motion: 'zoom-out', speed: 'slow' } as const];
  await serve(10, { understood: { asked: zoom, done: zoom } });
  const line = 'cat.mp4 is ready: the video of cat.jpg. Understood: zoom out, slow.';
  await eventually('the line', async () => said.includes(line));
});

it('a picture that comes while Redis is away waits for it, and gets no sentence that would keep it out', async () => {
  talk.harness.server.process.kill('SIGSTOP');
  await writeFile(join(folder, 'cat.jpg'), await pictureBytes());
  await new Promise((resolve) => setTimeout(resolve, 5_000)); // longer than a question to Redis may take
  expect(await names()).toEqual(['cat.jpg']);
  talk.harness.server.process.kill('SIGCONT');
  await serve();
  await eventually('the video', async () => (await names()).includes('cat.mp4'));
  expect((await names()).sort()).toEqual(['cat.jpg', 'cat.mp4']);
});

const at = (name: string): string => join(folder, name);
const text = async (name: string): Promise<string> => await readFile(at(name), 'utf8');
const isThere = async (...wanted: string[]): Promise<void> => {
  const all = async (): Promise<boolean> => {
    const present = await names();
    return wanted.every((name) => present.includes(name));
  };
  await eventually(wanted.join(', '), all);
};
/** What was asked for a picture, the latest first. */
async function asked(file: string): Promise<{ prompt: string; [option: string]: unknown }[]> {
  const redis = talk.harness.server.connect();
  const ids = await redis.zrevrange('{t}:history:inbox:folder', '0', '-1');
  const entries = await Promise.all(ids.map((id) => talk.client.ledger.read(id)));
  return entries.flatMap((entry) =>
    entry?.request.replyTo['file'] === file ? [entry.request.generation] : [],
  );
}
async function put(name: string | Buffer, bytes?: Uint8Array): Promise<void> {
  const path = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name)]);
  await writeFile(path, bytes ?? (await pictureBytes()));
}
/** Longer than three looks. */
const looks = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5 * quickMs));

describe('whose file it is', () => {
  it("never replaces somebody's own file, also one that comes while the video is made", async () => {
    await put('live.mp4', Buffer.from('my own clip'));
    await put('live.jpg');
    await put('own.jpg');
    await eventually('the requests', async () => (await pending()).length === 2);
    await put('own.mp4', Buffer.from('my own holiday'));
    await writeFile(join(talk.harness.folder, 'elsewhere'), 'my own film');
    await symlink('../elsewhere', at('link.mp4'));
    await put('link.jpg');
    await serve();
    await isThere('live.jpg.mp4', 'own.jpg.mp4', 'link.jpg.mp4');
    expect(await text('link.mp4')).toBe('my own film');
    expect([await text('live.mp4'), await text('own.mp4')]).toEqual(['my own clip', 'my own holiday']);
    expect(await text('own.jpg.mp4')).toMatch(/^video of in-/);
    await looks();
    expect(await asked('own.jpg')).toHaveLength(1);
    expect((await names()).filter((name) => !name.startsWith('link')).sort()).toEqual([
      'live.jpg',
      'live.jpg.mp4',
      'live.mp4',
      'own.jpg',
      'own.jpg.mp4',
      'own.mp4',
    ]);
  });

  it('makes a video of each of two pictures of one stem, also when their bytes are equal', async () => {
    await put('pair.jpg');
    await put('pair.jpeg');
    await serve();
    await isThere('pair.mp4');
    await eventually(
      'two videos',
      async () => (await names()).filter((name) => /^pair.*mp4$/.test(name)).length === 2,
    );
    // The file lies there a moment before its line is said.
    await eventually('two lines', () => new Set(said.filter((line) => line.includes('is ready'))).size === 2);
  });

  it('replaces its own video when the text or the picture changes, unless somebody changed that video', async () => {
    await put('cat.jpg');
    await serve();
    await isThere('cat.mp4');
    const first = await text('cat.mp4');
    await put('cat.txt', Buffer.from('pan left'));
    await eventually('the new video', async () => (await text('cat.mp4')) !== first);
    expect(await asked('cat.jpg')).toMatchObject([{ prompt: 'pan left' }, { prompt: '' }]);
    expect((await names()).sort()).toEqual(['cat.jpg', 'cat.mp4', 'cat.txt']);

    await rm(at('cat.txt'));
    await appendFile(at('cat.mp4'), ' and a remark of mine');
    const mine = await text('cat.mp4');
    await looks();
    expect(await asked('cat.jpg')).toHaveLength(2);
    await put('cat.jpg', await pictureBytes('plain.jpg'));
    await isThere('cat.jpg.mp4');
    expect(await text('cat.mp4')).toBe(mine);
  });

  it('a text that changes while its job runs takes the place of that job, and an earlier text counts again', async () => {
    await put('cat.txt', Buffer.from('pan left'));
    await put('cat.jpg');
    await eventually('the request', async () => (await pending()).length === 1);
    await serve(4_000);
    await put('cat.txt', Buffer.from('zoom in'));
    await isThere('cat.mp4');
    const requests = await asked('cat.jpg');
    expect(requests).toMatchObject([{ prompt: 'zoom in' }, { prompt: 'pan left' }]);
    const ready = (): string[] => said.filter((line) => line.includes('cat.mp4 is ready'));
    await eventually('the line', () => ready().length > 0);
    expect(ready()).toHaveLength(1);
    await put('cat.txt', Buffer.from('pan left'));
    await eventually('a third request', async () => (await asked('cat.jpg')).length === 3);
  });

  it('remembers over a restart what it answered, and does not ask again for what an earlier version answered', async () => {
    await put('cat.jpg');
    await serve();
    await isThere('cat.mp4');
    await inbox.stop();
    await rm(at('cat.mp4')); // somebody took it away
    await open();
    await looks();
    expect(await asked('cat.jpg')).toHaveLength(1);
    await inbox.stop();
    await rm(join(talk.harness.folder, 'inbox.json'));
    await put('old.jpg');
    await put('old.mp4', Buffer.from('ftyp {"software":"Kinora","seed":"1"}'));
    await put('live.jpg');
    await put('live.mp4', Buffer.from('my own clip'));
    await put('note.jpg');
    await put('note.error.txt', Buffer.from('what I thought of it'));
    await open();
    await isThere('live.jpg.mp4', 'note.mp4', 'note.error.txt');
    expect(await asked('old.jpg')).toEqual([]);
  });
});

describe('what is put there', () => {
  it('takes a picture of any date, a name of any length and bytes, and any ending of pictures', async () => {
    const long = [`${'L'.repeat(251)}.jpg`, `${'长'.repeat(83)}.jpg`];
    for (const name of [...long, 'future.jpg', 'c.jfif', 'b.gif', 'Upper.JPG']) await put(name);
    const tomorrow = Date.now() / 1000 + 86_400;
    await utimes(at('future.jpg'), tomorrow, tomorrow);
    await put(Buffer.from('lat\xe9.jpg', 'latin1'));
    await put('esc\u001b[2J.jpg');
    await put('._cat.jpg', Buffer.from('Mac OS X'));
    await put('a.heic');
    await put('real.heic', await pictureBytes('photo.heic'));
    await serve();
    await isThere(
      `${'L'.repeat(251)}.mp4`,
      `${'长'.repeat(83)}.mp4`,
      'future.mp4',
      'c.mp4',
      'b.mp4',
      'Upper.mp4',
    );
    await isThere('a.error.txt');
    expect(await text('a.error.txt')).toMatch(/not HEIC, as its name says, but JPEG/);
    await eventually(
      'every answer',
      async () => said.filter((line) => / is ready|^real.heic/.test(line)).length === 9,
    );
    const bytes = (await readdir(folder, { encoding: 'buffer' })).map((name) => name.toString('latin1'));
    expect(bytes).toContain('lat\xe9.mp4');
    expect((await names()).filter((name) => name.includes('._') || name.includes('.kinora'))).toEqual([
      '._cat.jpg',
    ]);
    expect(said.join('')).not.toContain('\u001b');
    expect(said[0]).toBe(`Watching ${folder}: a picture that is put there becomes a video beside it.`);
    expect(said).toContain('Upper.mp4 is ready: the video of Upper.JPG.');
  });

  it('describes a failure at a name of the longest kind, and tries again when that is removed', async () => {
    const stem = 'L'.repeat(251);
    await put(`${stem}.jpg`, Buffer.alloc(0));
    await put(`${stem}.txt`, Buffer.from('zoom in preset=huge'));
    const sentence = `${'L'.repeat(245)}.error.txt`;
    await isThere(sentence);
    expect(await text(sentence)).toMatch(/The preset must be one of fast, standard/);
    await rm(at(sentence));
    await isThere(sentence);
    await put(`${stem}.txt`, Buffer.from('zoom in preset=fast'));
    await put(`${stem}.jpg`);
    await serve();
    await isThere(`${stem}.mp4`);
    await eventually('no sentence', async () => !(await names()).includes(sentence));
  });

  it('leaves a picture alone for as long as it grows', async () => {
    await inbox.stop();
    await open(1_500);
    const whole = await pictureBytes();
    await put('slow.jpg', whole.subarray(0, 100));
    for (let more = 100; more < 1_000; more += 180) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await appendFile(at('slow.jpg'), whole.subarray(more, more + 180));
    }
    expect(await asked('slow.jpg')).toEqual([]);
  });

  it.each([
    ['UTF-16 with its mark', Buffer.from('\ufeffzoom in, slow', 'utf16le')],
    ['UTF-16, big end first', Buffer.from('\ufeffzoom in, slow', 'utf16le').swap16()],
    ['UTF-16 without a mark', Buffer.from('zoom in, slow', 'utf16le')],
    ['UTF-8 with a mark and lines of Windows', Buffer.from('\ufeffzoom in,\r\nslow\r\n')],
  ])('reads a text in %s', async (_, bytes) => {
    await put('cat.TXT', bytes);
    await put('cat.jpg');
    await eventually('the request', async () => (await asked('cat.jpg')).length === 1);
    expect(await asked('cat.jpg')).toMatchObject([{ prompt: 'zoom in, slow' }]);
  });

  it('reads options in a text as in a chat, and Latin letters with accents; says so of a text that is none', async () => {
    await put('opt.txt', Buffer.from('waves rolling preset=fast seed=7 negative="blurry" loop'));
    await put('opt.jpg');
    await put('old.txt', Buffer.from('la for\xeat bouge', 'latin1'));
    await put('old.jpg');
    await put('gbk.txt', Buffer.from([0xbe, 0xb5, 0xcd, 0xb7]));
    await put('gbk.jpg');
    await put('model.txt', Buffer.from('waves model=gone-3'));
    await put('model.jpg');
    await put('long.txt', Buffer.from('zoom '.repeat(30_000)));
    await put('long.jpg');
    await eventually('the requests', async () => (await pending()).length === 2);
    expect(await asked('opt.jpg')).toMatchObject([
      { prompt: 'waves rolling', preset: 'fast', seed: 7, negativePrompt: 'blurry', loop: true },
    ]);
    expect(await asked('old.jpg')).toMatchObject([{ prompt: 'la forêt bouge' }]);
    await isThere('gbk.error.txt', 'long.error.txt', 'model.error.txt');
    expect(await text('model.error.txt')).toMatch(/^No worker has the model "gone-3" now/);
    expect(await asked('model.jpg')).toEqual([]);
    expect(await text('gbk.error.txt')).toMatch(/encoding of gbk.txt cannot be told; expected UTF-8/);
  });

  it('opens neither pipes nor sockets nor devices, follows no link, and goes on', async () => {
    await writeFile(join(talk.harness.folder, '.env'), 'KINORA_TELEGRAM_TOKEN=1:secret');
    await symlink('../.env', at('photo.txt'));
    execFileSync('mkfifo', [at('pipe.txt'), at('pipe2.jpg')]);
    const server = createServer().listen(at('socket.jpg'));
    await mkdir(at('folder.jpg'));
    await symlink(fileURLToPath(new URL('../fixtures/pictures/grey.jpg', import.meta.url)), at('link.jpg'));
    await symlink('/dev/zero', at('zero.png'));
    await symlink('nowhere', at('broken.jpg'));
    for (const name of ['photo.jpg', 'pipe.jpg', 'zz-last.jpg']) await put(name);
    await serve();
    await isThere('photo.mp4', 'pipe.mp4', 'zz-last.mp4');
    const sentences = ['pipe2', 'socket', 'folder', 'link', 'zero', 'broken'];
    await isThere(...sentences.map((stem) => `${stem}.error.txt`));
    expect(await text('link.error.txt')).toMatch(/^link.jpg is a link; expected the picture itself/);
    expect(JSON.stringify(await asked('photo.jpg'))).not.toContain('secret');
    expect(said).toContain('photo.txt is not a regular file; its words are left out.');
    server.close();
  });
});

describe('when it cannot', () => {
  it('asks for no credits and no pauses', async () => {
    const poor = talk.harness.client({
      cooldownMs: 3_600_000,
      limits: { queue: 100, user: 10, community: 10, credits: 1 },
    });
    await inbox.stop();
    Object.assign(talk, { services: { ...talk.services, client: poor } });
    await open();
    for (const name of ['a.jpg', 'b.jpg', 'c.jpg']) await put(name);
    await eventually('three requests', async () => (await pending()).length === 3);
  });

  it('says once that the folder is gone, and goes on when it is back', async () => {
    await rename(folder, `${folder}-away`);
    const waits = (): string[] => said.filter((line) => line.startsWith('The inbox waits'));
    await eventually('the line', () => waits().length > 0);
    await looks();
    expect(waits()).toHaveLength(1);
    expect(said.at(-1)).toBe(`The inbox waits: ${folder} cannot be read and written (ENOENT).`);
    await rename(`${folder}-away`, folder);
    await put('cat.jpg');
    await serve();
    await isThere('cat.mp4');
  });

  it('refuses a folder that is none', async () => {
    await copyFile(fileURLToPath(import.meta.url), at('file'));
    const other = new InboxPlatform(at('file'), log);
    await expect(other.start(talk.services)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining('is not a folder (EEXIST)'),
    });
  });
});
