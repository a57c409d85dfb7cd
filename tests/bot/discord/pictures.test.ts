/** Which picture of a message is animated, whether its video is covered, and how it is fetched. */
import { readFile } from 'node:fs/promises';
import { ComponentType } from 'discord.js';
import sharp from 'sharp';
import { afterEach, describe, expect, it } from 'vitest';
import type { TopLevelComponent } from '../../fakes/discord/components.ts';
import type { FakeFile } from '../../fakes/discord/files.ts';
import type { FakeInteraction } from '../../fakes/discord/interaction.ts';
import type { FakeMessage } from '../../fakes/discord/message.ts';
import type { Posted } from '../../fakes/discord/people.ts';
import { photo, Stage, type StageOptions } from '../../helpers/discord-stage.ts';

const stages: Stage[] = [];
afterEach(async () => {
  for (const stage of stages.splice(0)) await stage.stop();
});

async function begin(options: StageOptions = {}): Promise<Stage> {
  const stage = await Stage.start(options);
  stages.push(stage);
  return stage;
}

const named: FakeFile = { ...photo, name: 'SPOILER_photo.jpg' };
const marked: FakeFile = { ...photo, spoiler: true };
const media = { url: 'attachment://photo.jpg' };
const gallery = (spoiler = false) =>
  ({ type: ComponentType.MediaGallery, items: [{ media, spoiler }] }) satisfies TopLevelComponent;
const text = { type: ComponentType.TextDisplay, content: 'look' } as const;

/** Apps > Animate, and the form sent as it is. */
async function animates(stage: Stage, posted: Posted): Promise<FakeInteraction> {
  const menu = stage.ada.usesContextMenu(stage.bob.posts(stage.channel, posted), 'Animate');
  return stage.ada.submits(await stage.server.until(() => menu.modal()));
}

/** A link to a file of elsewhere, as Discord's proxy gives it out. */
function linkOf({ server, channel }: Stage, file: FakeFile): string {
  const { files } = server.world;
  return files.attachment(files.store(file, { channelId: channel.id, ephemeral: false })).url;
}

const isCovered = (message: FakeMessage): boolean =>
  message.attachments.every(({ name, spoiler }) => spoiler && name.startsWith('SPOILER_'));

describe('a picture under a cover', () => {
  it('gives a video under a cover, and so does everything made of that', async () => {
    const stage = await begin();
    const { ada, channel, server } = stage;
    for (const image of [named, marked]) {
      const shown = await stage.video(ada.runs('/animate', { image, prompt: 'waves' }, { channel }));
      expect(isCovered(shown)).toBe(true);
      if (image === named) continue;
      for (const label of ['Re-roll', 'Vary subtle', 'Smooth ×3', 'Loop']) {
        expect(isCovered(await stage.video(ada.presses(shown, label)))).toBe(true);
      }
      const remix = ada.presses(shown, 'Remix');
      const form = await server.until(() => remix.modal());
      expect(isCovered(await stage.video(ada.submits(form, { prompt: 'rain' })))).toBe(true);
    }
    const open = await stage.video(ada.runs('/animate', { image: photo, prompt: 'waves' }, { channel }));
    expect(isCovered(open)).toBe(false);
  });

  it('is one wherever a message has it', async () => {
    const stage = await begin();
    const link = linkOf(stage, photo);
    const page = 'https://pictures.example/cat';
    const preview = [{ url: page, image: { url: link } }];
    const covered: Posted[] = [
      { files: [named] },
      { files: [marked] },
      { files: [photo], components: [gallery(true)] },
      {
        files: [photo],
        components: [{ type: ComponentType.Container, spoiler: true, components: [text, gallery()] }],
      },
      { files: [photo], components: [{ type: ComponentType.File, file: media, spoiler: true }] },
      {
        files: [photo],
        components: [
          {
            type: ComponentType.Section,
            components: [text],
            accessory: { type: ComponentType.Thumbnail, media, spoiler: true },
          },
        ],
      },
      { content: `see ||${page}||`, embeds: preview },
      { forwards: stage.bob.posts(stage.channel, { files: [marked] }) },
    ];
    const open: Posted[] = [
      { files: [photo], components: [gallery()] },
      { files: [photo], components: [{ type: ComponentType.Container, components: [gallery()] }] },
      { content: `see ${page} ||not this||`, embeds: preview },
      { forwards: stage.bob.posts(stage.channel, { files: [photo] }) },
    ];
    for (const posted of covered) {
      expect(isCovered(await stage.video(await animates(stage, posted))), Object.keys(posted).join()).toBe(
        true,
      );
    }
    for (const posted of open) {
      expect(isCovered(await stage.video(await animates(stage, posted))), Object.keys(posted).join()).toBe(
        false,
      );
    }
  });
});

describe('Apps > Animate', () => {
  const gif = { name: 'a.gif', bytes: Buffer.from('GIF89a\x01\0\x01\0\0\0\0;', 'latin1') };
  const svg = { name: 'b.svg', bytes: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>') };
  const clip = { name: 'c.mp4', bytes: Buffer.alloc(100, 7) };

  it('takes the first picture that can be animated', async () => {
    const stage = await begin();
    await stage.video(await animates(stage, { files: [clip, gif, svg, photo] }));
    const items = ['a.gif', 'photo.jpg'].map((name) => ({ media: { url: `attachment://${name}` } }));
    const components: TopLevelComponent[] = [
      { type: ComponentType.Container, components: [{ type: ComponentType.MediaGallery, items }] },
    ];
    await stage.video(await animates(stage, { files: [gif, photo], components }));
    // One that was measured is a picture, whatever it is called; others are by their names.
    for (const file of [
      { ...photo, name: 'IMG', contentType: '', width: 9 },
      { ...photo, name: 'photo.jfif', contentType: 'application/octet-stream' },
    ]) {
      await stage.video(await animates(stage, { files: [file] }));
    }
  });

  it('says why when none can be', async () => {
    const stage = await begin({ generate: 'nobody' });
    await stage.said(await animates(stage, { files: [svg, gif] }), /SVG/);
    const menu = stage.ada.usesContextMenu(stage.bob.posts(stage.channel, { files: [clip] }), 'Animate');
    await stage.said(menu, /no picture in that message/);
  });
});

describe('a picture is fetched again', () => {
  it.each([
    ['answers 503', { status: 503, times: 2 }],
    ['answers 429', { status: 429, times: 1, headers: { 'retry-after': '0.1' } }],
    ['resets the connection', { status: 'reset', times: 2 }],
    ['breaks off', { status: 'after', times: 1 }],
  ] as const)('when the CDN %s', async (_, fault) => {
    const stage = await begin({ generate: 'nobody', platform: { pictureDeadlineMs: 3_000 } });
    const trouble = stage.server.fail({ route: '/ephemeral-attachments', ...fault });
    await stage.said(stage.ada.runs('/animate', { image: photo }, { channel: stage.channel }), /^Accepted/);
    expect(trouble.hits).toBe(fault.times);
  });

  it('no longer than its deadline, and not when it is gone', async () => {
    const stage = await begin({ generate: 'nobody', platform: { pictureDeadlineMs: 700 } });
    const { server, ada, channel } = stage;
    const trouble = server.fail({ route: '/ephemeral-attachments', status: 503, times: 100 });
    await stage.said(ada.runs('/animate', { image: photo }, { channel }), /could not be fetched/);
    expect(trouble.hits).toBeGreaterThan(1);
    trouble.lift();
    const gone = server.fail({ route: '/ephemeral-attachments', status: 404, times: 100 });
    await stage.said(ada.runs('/animate', { image: photo }, { channel }), /could not be fetched/);
    expect(gone.hits).toBe(1);
  });
});

describe('a mask beside the picture', () => {
  const maskOf = async (size: { width: number; height: number }): Promise<FakeFile> => ({
    name: 'mask.png',
    bytes: await sharp({ create: { ...size, channels: 3, background: 'white' } })
      .png()
      .toBuffer(),
  });

  it('reaches the worker with the job, and with what is made of its video', async () => {
    const seen: (Buffer | undefined)[] = [];
    const stage = await begin({ generate: 'nobody' });
    const clips = stage.clips();
    await stage.startWorker(async (entry, files, hooks) => {
      seen.push(entry.request.hasMask ? await readFile(files.mask) : undefined);
      return await clips(entry, files, hooks);
    });
    const { width, height } = await sharp(photo.bytes).metadata();
    const mask = await maskOf({ width, height });
    const { ada, channel } = stage;
    const shown = await stage.video(ada.runs('/animate', { image: photo, mask }, { channel }));
    await stage.video(ada.presses(shown, 'Vary subtle'));
    await stage.video(ada.runs('/animate', { image: photo }, { channel }));
    expect(seen).toEqual([Buffer.from(mask.bytes), Buffer.from(mask.bytes), undefined]);
  });

  it('of another shape, or that is no picture, is refused with a sentence', async () => {
    const stage = await begin({ generate: 'nobody' });
    const { ada, channel } = stage;
    const mask = await maskOf({ width: 64, height: 640 });
    await stage.said(ada.runs('/animate', { image: photo, mask }, { channel }), /expected the same shape/);
    const text = { name: 'mask.png', bytes: Buffer.from('white') };
    await stage.said(ada.runs('/animate', { image: photo, mask: text }, { channel }), /mask cannot be read/);
  });
});
