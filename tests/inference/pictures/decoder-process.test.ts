import { readdir, readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { afterEach, describe, expect, it } from 'vitest';
import { isKinoraError } from '../../../src/errors.ts';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { type DecoderLimits, PictureDecoder } from '../../../src/inference/pictures/decoder-process.ts';

const file = (name: string) => readFile(new URL(`../../fixtures/pictures/${name}`, import.meta.url));

/** Processes of this one that decode pictures. */
async function decoders(): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      return command.includes('decoder-child.ts') && status.includes(`PPid:\t${process.pid}\n`);
    }),
  );
  return pids.filter((_, i) => found[i]).map(Number);
}

const open: AbortController[] = [];
function decoder(limits: Partial<DecoderLimits> = {}) {
  const end = new AbortController();
  open.push(end);
  const pictures = new PictureDecoder(limits);
  return { end, decode: (bytes: Uint8Array) => pictures.decode(bytes, end.signal) };
}
afterEach(async () => {
  open.length = 0;
  for (const pid of await decoders()) process.kill(pid, 'SIGKILL');
});

describe('the process that decodes pictures', () => {
  it('gives what the decoder gives, and refuses as it does', async () => {
    const { decode } = decoder();
    const names = [
      'plain.png',
      'cmyk.jpg',
      'animated.webp',
      'orientation-6.jpg',
      'truncated.jpg',
      'bomb.png',
      'photo.heic',
    ];
    for (const name of names) {
      const bytes = await file(name);
      const here = await decodeImage(bytes).catch((error: unknown) => error);
      const there = await decode(bytes).catch((error: unknown) => error);
      if (isKinoraError(here)) {
        const { code, message, detail } = here;
        expect(there).toMatchObject({ code, message, detail });
      } else
        expect(there).toEqual({
          ...(here as object),
          data: Buffer.from((here as { data: Uint8Array }).data),
        });
    }
  });

  it('is one, whatever comes at once, and knows nothing of the environment', async () => {
    process.env['KINORA_TEST_TOKEN'] = 'secret';
    const { decode } = decoder();
    const bytes = await file('plain.png');
    const images = await Promise.all(Array.from({ length: 8 }, () => decode(bytes)));
    expect(new Set(images.map(({ width }) => width))).toEqual(new Set([48]));
    const [pid, ...others] = await decoders();
    expect(others).toEqual([]);
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8');
    delete process.env['KINORA_TEST_TOKEN'];
    expect(environment).toContain('PATH=');
    expect(environment).not.toContain('KINORA');
  });

  it.each([
    ['time', { cpuMs: 60 }, 'IMAGE_UNREADABLE', /too long/],
    ['memory', { memoryBytes: 1000 }, 'IMAGE_TOO_LARGE', /too much memory/],
  ] as const)('ends a picture that takes too much %s, and no other', async (_, limits, code, message) => {
    const { decode } = decoder(limits);
    const large = await file('flat-40-megapixels.jpg');
    for (let time = 0; time < 2; time++) {
      await expect(decode(large)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    }
    if ('cpuMs' in limits) expect(await decode(await file('plain.png'))).toMatchObject({ width: 48 });
  });

  it('is replaced when a picture kills it', async () => {
    const { decode } = decoder();
    await decode(await file('plain.png'));
    const [first = 0] = await decoders();
    const large = decode(await file('flat-40-megapixels.jpg'));
    process.kill(first, 'SIGKILL');
    await expect(large).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' });
    expect(await decode(await file('plain.png'))).toMatchObject({ width: 48 });
    expect(await decoders()).not.toContain(first);
  });

  it('ends when its picture is no longer wanted', async () => {
    const { decode, end } = decoder();
    const large = decode(await file('flat-40-megapixels.jpg'));
    setTimeout(() => end.abort(), 20);
    await expect(large).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it.each(['jpeg', 'png', 'webp'] as const)(
    'takes a photo of 50 megapixels, and little memory: %s',
    async (format) => {
      const background = { r: 200, g: 100, b: 50 };
      const flat = sharp({ create: { width: 8192, height: 6144, channels: 3, background } });
      const { decode } = decoder({ memoryBytes: 700e6 });
      const { width, height, data } = await decode(await flat.toFormat(format, { effort: 1 }).toBuffer());
      expect([width, height, data.length]).toEqual([4096, 3072, 4096 * 3072 * 3]);
    },
  );

  it('gives the memory of a large picture back', async () => {
    const { decode } = decoder();
    for (let time = 0; time < 2; time++) {
      const { width, height, data } = await decode(await file('flat-40-megapixels.jpg'));
      expect([width, height, data.length]).toEqual([7300, 5470, 7300 * 5470 * 3]);
    }
    expect(await decode(await file('plain.png'))).toMatchObject({ width: 48 });
  });
});
