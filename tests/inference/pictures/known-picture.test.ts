import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { decodeImage, decoderName, imageKey } from '../../../src/inference/pictures/decode.ts';
import { openPicture, pictureOf } from '../../../src/inference/pictures/known-picture.ts';

const file = (name: string) => fileURLToPath(new URL(`../../fixtures/pictures/${name}`, import.meta.url));

let root: string;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'kinora-known-'));
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

let places = 0;
const place = (over: { memoryBytes?: number; diskBytes?: number } = {}) => ({
  folder: path.join(root, `cache-${places++}`),
  memoryBytes: 1e6,
  diskBytes: 1e6,
  ...over,
});

describe('a picture that is opened', () => {
  it.each(['plain.png', 'grey.png', 'orientation-6.jpg', 'animated.webp', 'animated.png', 'cmyk.jpg'])(
    '%s is decoded once, and known by its bytes from then on',
    async (name) => {
      const cache = new LatentCache(place({ diskBytes: 0 }));
      const decoded = await decodeImage(file(name));
      const first = await openPicture(file(name), cache);
      expect(first.decodeMs).toBeGreaterThan(0);
      const copy = path.join(root, 'copy');
      await copyFile(file(name), copy);
      const second = await openPicture(copy, cache);
      expect(second.decodeMs).toBeUndefined();
      for (const { key, width, height, notes } of [first, second]) {
        expect(key).toBe(imageKey(decoded));
        expect({ width, height, notes }).toEqual({
          width: decoded.width,
          height: decoded.height,
          notes: decoded.notes,
        });
      }
      expect(cache.counters).toMatchObject({ memoryHits: 1, misses: 1 });
    },
  );

  it('gives its pixels when they are needed, though the file has changed since', async () => {
    const cache = new LatentCache(place());
    await openPicture(file('plain.png'), cache);
    const copy = path.join(root, 'changing');
    await copyFile(file('plain.png'), copy);
    const known = await openPicture(copy, cache);
    await copyFile(file('grey.png'), copy);
    const { data } = await decodeImage(file('plain.png'));
    expect(Buffer.compare((await known.pixels()).data, data)).toBe(0);
    expect(known.decodeMs).toBeGreaterThan(0);
    expect(await known.pixels()).toBe(await known.pixels());
  });

  it('is known after a restart', async () => {
    const shared = place();
    const before = new LatentCache(shared);
    const first = await openPicture(file('animated.png'), before);
    await before.flush();
    const second = await openPicture(file('animated.png'), new LatentCache(shared));
    expect(second.decodeMs).toBeUndefined();
    expect([second.key, second.notes]).toEqual([first.key, first.notes]);
  });

  it('is another one when a single byte differs, also behind the pixels', async () => {
    const cache = new LatentCache(place());
    const first = await openPicture(file('plain.jpg'), cache);
    const longer = path.join(root, 'longer.jpg');
    await writeFile(longer, Buffer.concat([await readFile(file('plain.jpg')), Buffer.of(0)]));
    const second = await openPicture(longer, cache);
    expect(second.decodeMs).toBeGreaterThan(0);
    expect(second.key).toBe(first.key); // it looks the same
  });

  it('is decoded when nothing may be kept', async () => {
    const cache = new LatentCache(place({ memoryBytes: 0, diskBytes: 0 }));
    for (let time = 0; time < 2; time++) {
      expect((await openPicture(file('plain.png'), cache)).decodeMs).toBeGreaterThan(0);
    }
  });

  it.each([
    'truncated.jpg',
    'bad-checksum.png',
    'one-pixel.png',
    'bomb.png',
    'drawing.svg',
    'empty.jpg',
    'gone',
  ])('%s is refused as the decoder refuses it, every time, and nothing is kept', async (name) => {
    const cache = new LatentCache(place());
    const refusal = await decodeImage(file(name)).catch((error: unknown) => error);
    for (let time = 0; time < 2; time++) {
      await expect(openPicture(file(name), cache)).rejects.toEqual(refusal);
    }
    await cache.flush();
    expect(cache.counters).toMatchObject({ memoryBytes: 0, diskBytes: 0 });
  });
});

describe('what is kept of a file', () => {
  it('is decoded anew when the entry is damaged or of another kind', async () => {
    const shared = place({ memoryBytes: 0 });
    const cache = new LatentCache(shared);
    const first = await openPicture(file('plain.png'), cache);
    await cache.flush();
    const [name = ''] = await readdir(shared.folder);
    const entry = path.join(shared.folder, name);
    const bytes = await readFile(entry);
    bytes[bytes.length - 3] = 1 + (bytes.at(-3) ?? 0);
    await writeFile(entry, bytes);
    expect(await openPicture(file('plain.png'), cache)).toMatchObject({ key: first.key });
    expect(cache.counters.diskHits).toBe(0);

    for (const meta of [undefined, {}, { pictureKey: '0'.repeat(63), width: 1, height: 1, notes: [] }]) {
      cache.set(name, { tensors: {}, ...(meta && { meta }) });
      await cache.flush();
      const again = await openPicture(file('plain.png'), cache);
      expect(again.decodeMs).toBeGreaterThan(0);
      expect(again.key).toBe(first.key);
      await cache.flush();
    }
    expect((await openPicture(file('plain.png'), cache)).decodeMs).toBeUndefined();
  });

  it('tells which picture it is', async () => {
    const shared = place();
    const cache = new LatentCache(shared);
    const { key } = await openPicture(file('plain.png'), cache);
    const tensors = { moments: { data: Float32Array.of(1), dims: [1] } };
    cache.set(LatentCache.pictureEntry(key, 'pack'), { tensors });
    await cache.flush();
    const [ofFile = '', ofPicture = ''] = (await readdir(shared.folder)).sort();
    expect(ofFile).toMatch(/^file-[0-9a-f]{64}$/);
    const restarted = new LatentCache(shared);
    expect((await restarted.get(ofFile))?.meta).toMatchObject({ pictureKey: key });
    expect(await restarted.get(ofPicture)).toEqual({ tensors });
  });

  it('is not taken for what another decoder, or one with other limits, would see', () => {
    const names = [
      decoderName(),
      decoderName({ background: '#000000' }),
      decoderName({ maxPixels: 1_000_000 }),
      decoderName({ minSide: 64 }),
      decoderName({ maxBytes: 1000 }),
    ];
    expect(new Set(names).size).toBe(names.length);
    expect(names[0]).toMatch(/"vips":"\d/);
    expect(new Set(names.map((name) => LatentCache.fileEntry('hash', name))).size).toBe(names.length);
    expect(decoderName()).toBe(names[0]);
  });
});

it('pixels that are there make a picture by themselves', async () => {
  const image = await decodeImage(file('plain.png'));
  const picture = pictureOf(image);
  expect(picture).toMatchObject({ key: imageKey(image), width: image.width, height: image.height });
  expect((await picture.pixels()).data).toBe(image.data);
});
