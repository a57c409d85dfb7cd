/** The Discord adapter, as people see it: the real discord.js against the fake Discord, with a real queue behind. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PermissionFlagsBits as Can, Locale } from 'discord.js';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { Gateway } from '../../../src/bot/discord/gateway.ts';
import { contentOf } from '../../../src/bot/discord/rendering.ts';
import { TokenStore, tokenLifeMs } from '../../../src/bot/discord/tokens.ts';
import { Engine } from '../../../src/engine/supervisor.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import { createLogger } from '../../../src/log.ts';
import { recordDuration } from '../../../src/queue/durations.ts';
import { Keys } from '../../../src/queue/keys.ts';
import { Ledger } from '../../../src/queue/ledger.ts';
import { readMp4Info } from '../../../src/video/mp4.ts';
import { engineGenerate } from '../../../src/worker/generate.ts';
import type { FakeMessage } from '../../fakes/discord/message.ts';
import { photo, Stage, type StageOptions } from '../../helpers/discord-stage.ts';
import { tinyPackPath } from '../../helpers/golden.ts';
import { eventually } from '../../helpers/queue-harness.ts';
import { TestRedis } from '../../helpers/redis-server.ts';

const stages: Stage[] = [];
const engines: Engine[] = [];
afterEach(async () => {
  for (const stage of stages.splice(0)) {
    const told = stage.logged.join('\n');
    expect(stage.server.secrets().filter((secret) => told.includes(secret))).toEqual([]);
    expect(stage.server.invalidRequests().length).toBeLessThan(10);
    await stage.stop();
  }
  for (const engine of engines.splice(0)) await engine.stop();
});

async function begin(options: StageOptions = {}): Promise<Stage> {
  const stage = await Stage.start(options);
  stages.push(stage);
  return stage;
}

const labels = (message: FakeMessage): string[] => message.pressables.map(({ label }) => label);
const picture = { image: photo, prompt: 'waves rolling' };

async function infoOf(stage: Stage, message: FakeMessage) {
  const file = join(stage.folder, 'seen.mp4');
  await writeFile(file, message.attachments[0]?.bytes ?? '');
  return await readMp4Info(file);
}

/** A job that is accepted and does not run yet. */
async function accepted(stage: Stage, where: Parameters<Stage['ada']['runs']>[2] = {}, more: object = {}) {
  const asked = stage.ada.runs('/animate', { ...picture, ...more }, { channel: stage.channel, ...where });
  await stage.said(asked, /^Accepted/);
  return asked;
}

describe('a request', () => {
  it('lives in one message, from the acceptance to the video, and its remix hits the cache', async () => {
    const stage = await begin({ generate: 'nobody' });
    const { server, ada, channel } = stage;
    const engine = Engine.start({
      packPath: tinyPackPath,
      device: 'cpu',
      threads: 1,
      cachePath: join(stage.folder, 'cache'),
      cacheMemoryBytes: 1e8,
      cacheDiskBytes: 1e8,
      ffmpegPath: stage.ffmpegPath,
    });
    engines.push(engine);
    await stage.startWorker(engineGenerate(engine, [await loadPack(tinyPackPath)], true));

    // Long enough that a step is seen, however slow the first edits are.
    const asked = ada.runs('/animate', { ...picture, preset: 'high', seed: 7 }, { channel });
    const shown = await stage.video(asked);
    expect(asked.acknowledgedAfterMs).toBeLessThan(1000);
    expect(shown).toBe(asked.original);
    expect(shown.attachments).toMatchObject([{ name: 'kinora-7.mp4', contentType: 'video/mp4' }]);
    expect((await infoOf(stage, shown)).numFrames).toBeGreaterThan(1);
    expect(shown.text).toContain('"waves rolling" · seed 7 · high');
    expect(labels(shown)).toEqual([
      'Re-roll',
      'Remix',
      'Vary subtle',
      'Vary strong',
      'Extend',
      'Settings',
      'Smooth ×3',
      'Loop',
      'Delete',
    ]);
    const states = shown.history.map(({ content }) => content);
    expect(states[1]).toMatch(/^Accepted\. Yours is next\./);
    expect(states.some((state) => /step \d+\/\d+/.test(state))).toBe(true);

    const pressed = ada.presses(shown, 'Remix');
    const form = await server.until(() => pressed.modal());
    expect(form.inputs.map(({ input }) => ('value' in input ? input.value : undefined))).toEqual([
      'waves rolling',
      undefined,
      undefined,
      '7',
    ]);
    const remix = ada.submits(form, { prompt: 'camera zooming out' });
    const second = await stage.video(remix);
    expect(second).not.toBe(shown);
    expect(second.text).toContain('"camera zooming out" · seed 7');
    expect(second.text).toContain('Reused');
    expect(channel.visible).toEqual([shown, second]);
  });

  it('can come from Apps > Animate, and be private', async () => {
    const stage = await begin();
    const { server, ada, bob, channel } = stage;
    const posted = bob.posts(channel, { content: 'look', files: [photo] });
    const menu = ada.usesContextMenu(posted, 'Animate');
    const form = await server.until(() => menu.modal());
    const shown = await stage.video(ada.submits(form, { prompt: 'pan left', preset: ['fast'] }));
    expect(shown.text).toContain('"pan left"');
    expect(shown.text).toContain('fast');

    const words = bob.posts(channel, { content: 'no picture here' });
    const nothing = ada.usesContextMenu(words, 'Animate');
    expect((await stage.said(nothing, /no picture in that message/)).ephemeral).toBe(true);

    const secret = ada.runs('/animate', { ...picture, private: true }, { channel });
    const own = await stage.video(secret);
    expect(own.ephemeral).toBe(true);
    const again = ada.presses(own, 'Re-roll');
    expect((await stage.video(again)).ephemeral).toBe(true);
    expect(channel.visible).not.toContain(own);
  });

  it('works in direct messages, and where only the person has installed Kinora', async () => {
    const stage = await begin();
    await stage.video(stage.ada.runs('/animate', picture, { dm: true }));
    await stage.video(stage.ada.runs('/animate', picture, { userInstall: true }));
  });

  it('is answered in the language of the person', async () => {
    const stage = await begin({ generate: 'nobody' });
    const li = stage.server.user({ name: 'li', locale: Locale.ChineseCN });
    const asked = li.runs('/animate', picture, { channel: stage.channel });
    const shown = await stage.server.until(() => {
      const message = asked.message();
      return message?.loading ? undefined : message;
    });
    expect(shown.text).toMatch(/\p{Script=Han}/u);
    expect(labels(shown)).toEqual(['取消']);
  });

  it('never makes words of a prompt come alive', async () => {
    const stage = await begin();
    const { server, ada, channel } = stage;
    const prompt = `@everyone <@${stage.bob.id}> **loud** [link](https://evil.example) \`code\` ||x|| ~~y~~ __z__ > q`;
    const shown = await stage.video(ada.runs('/animate', { image: photo, prompt }, { channel }));
    expect(shown.pings).toEqual([]);
    expect(shown.content).toContain(`\\<@${stage.bob.id}\\>`);
    expect(shown.content).toContain('\\*\\*loud\\*\\* \\[link\\](https:\\/\\/evil.example)');
    expect(shown.content.replaceAll(/\\./g, '')).not.toMatch(/[*_~`|<>[\]\\]|:\/\//);
    const settings = await stage.said(ada.presses(shown, 'Settings'), /Settings of this video/);
    expect(settings.ephemeral).toBe(true);
    expect(settings.content.match(/```/g)).toHaveLength(2);
    expect(settings.pings).toEqual([]);
    const bodies = JSON.stringify(server.calls({ route: '/messages' }).map(({ json }) => json));
    expect(bodies).not.toContain('"parse":["');
  });

  it('is refused with a sentence when its picture is none, too large, or from elsewhere', async () => {
    const stage = await begin({ platform: { pictureDeadlineMs: 300 } });
    const { server, ada, channel } = stage;
    const send = (bytes: Uint8Array) => ada.runs('/animate', { image: { ...photo, bytes } }, { channel });
    await stage.said(send(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')), /JPEG, PNG or WebP/);
    await stage.said(send(Buffer.alloc(25 * 2 ** 20 + 1, 1)), /at most 25 MB/);
    await stage.said(send(new Uint8Array()), /could not be fetched/);
    server.fail({ route: '/ephemeral-attachments', status: 'stall' });
    await stage.said(send(photo.bytes), /could not be fetched/);
    server.fail({
      route: '/ephemeral-attachments',
      status: 302,
      headers: { location: `${server.cdn}/elsewhere` },
    });
    await stage.said(send(photo.bytes), /could not be fetched/);
    expect(server.calls({ route: '/elsewhere' })).toEqual([]);

    const elsewhere = await begin({ platform: { pictureOrigins: ['https://cdn.discordapp.com'] } });
    const asked = elsewhere.ada.runs('/animate', picture, { channel: elsewhere.channel });
    await elsewhere.said(asked, /could not be fetched/);
    expect(elsewhere.server.calls({ route: '/ephemeral-attachments' })).toEqual([]);
    // Refusals are for the person alone.
    expect(elsewhere.channel.visible).toEqual([]);
  });

  it('is told beforehand that its video comes by direct message when that will be so', async () => {
    const stage = await begin({ generate: 'nobody' });
    await recordDuration(stage.redis.connect(), new Keys(), 'standard', 'cpu', 20 * 60_000);
    const { ada, channel } = stage;
    const asked = ada.runs('/animate', { ...picture, private: true }, { channel });
    await stage.said(asked, /will come as a direct message/);
    const open = await accepted(stage);
    expect(open.original?.text).not.toContain('direct message');
  });

  it('is answered within 2.5 s when Redis is dead, and within 3 s when it is frozen', async () => {
    const stage = await begin({ generate: 'nobody' });
    const { ada, channel, redis } = stage;
    redis.process.kill('SIGSTOP');
    const frozen = ada.runs('/animate', picture, { channel });
    const late = await stage.said(frozen, /cannot be reached/);
    expect(late.present.at - frozen.askedAt).toBeLessThan(3000);
    redis.process.kill('SIGKILL');
    await sleep(100);
    const dead = ada.runs('/animate', picture, { channel });
    const soon = await stage.said(dead, /cannot be reached/);
    expect(soon.present.at - dead.askedAt).toBeLessThan(2500);
    expect(dead.acknowledgedAfterMs).toBeLessThan(1000);
    await stage.said(ada.runs('/queue', {}, { channel }), /cannot be reached/);
    await redis.crashAndRestart();
    await stage.server.until(async () => {
      const asked = ada.runs('/queue', {}, { channel });
      await stage.server.until(() => asked.message()?.loading === false);
      return asked.message()?.text.includes('The queue is empty');
    }, 10_000);
  });
});

describe('the answer', () => {
  it('comes by the bot itself when the token has expired, after a restart too', async () => {
    const stage = await begin({ generate: 'nobody' });
    const asked = await accepted(stage);
    await stage.stopBot();
    stage.server.expireTokens();
    await stage.startBot();
    // The first attempt of the bot itself fails, too, so that all is tried a second time.
    stage.server.fail({ method: 'PATCH', route: '/channels/', status: 500, times: 4 });
    await stage.startWorker(stage.clips({ steps: 0 }));
    const shown = await stage.video(asked);
    expect(shown).toBe(asked.original);
    expect(shown.present.via).toBe('bot');
    // One call tells that the token is dead; it is never used again.
    expect(stage.server.calls({ route: '/webhooks' }).filter(({ status }) => status === 401)).toHaveLength(1);
    expect(await stage.redis.connect().keys('{kinora}:interaction:*')).toEqual([]);
  });

  it.each([
    ['13:30', 'webhook'],
    ['14:59', 'bot'],
    ['15:01', 'bot'],
    ['40:00', 'bot'],
  ])('comes in place when the job ends after %s, by the %s', async (age, via) => {
    const stage = await begin({ generate: 'nobody' });
    const { server } = stage;
    const asked = await accepted(stage);
    await stage.stopBot();
    const [minutes = 0, seconds = 0] = age.split(':').map(Number);
    const ageMs = (minutes * 60 + seconds) * 1000;
    const token = `{kinora}:interaction:dc-${asked.id}`;
    expect(await stage.redis.connect().pexpire(token, tokenLifeMs - ageMs)).toBe(1);
    if (ageMs >= 15 * 60_000) server.expireTokens();
    await stage.startBot();
    await stage.startWorker(stage.clips());
    const shown = await stage.video(asked);
    expect(shown).toBe(asked.original);
    expect(shown.present.via).toBe(via);
    // No call is wasted on a dead token.
    expect(server.calls({ route: '/webhooks' }).filter(({ status = 0 }) => status >= 400)).toEqual([]);
  });

  it('uses a young token after a restart, which Redis cannot read', async () => {
    const stage = await begin({ generate: 'nobody' });
    const asked = await accepted(stage, {}, { private: true });
    const redis = stage.redis.connect();
    const [key = ''] = await redis.keys('{kinora}:interaction:*');
    expect(await redis.pttl(key)).toBeGreaterThan(tokenLifeMs / 2);
    const sealed = Buffer.from((await redis.get(key)) ?? '', 'base64');
    expect(sealed.length).toBeGreaterThan(asked.token.length);
    expect(sealed.includes(asked.token)).toBe(false);
    await stage.stopBot();
    await stage.startBot();
    await stage.startWorker(stage.clips());
    expect((await stage.video(asked)).ephemeral).toBe(true);
    await stage.server.until(async () => (await redis.exists(key)) === 0);
    const kept = JSON.stringify(await stage.redis.connect().keys('*'));
    expect(kept).not.toContain(asked.token);
  });

  it('comes as a reply that calls the person when its message was deleted', async () => {
    const stage = await begin({ generate: 'nobody' });
    const asked = await accepted(stage);
    if (asked.original) stage.root.deletes(asked.original);
    await stage.startWorker(stage.clips());
    const shown = await stage.server.until(() =>
      stage.channel.visible.find(({ attachments }) => attachments.length > 0),
    );
    expect(shown.pings).toEqual([stage.ada.id]);
    expect(labels(shown)).toContain('Re-roll');
    await stage.video(stage.ada.presses(shown, 'Re-roll'));
  });

  it('comes as a direct message, with the missing permission named, when nothing else works', async () => {
    const stage = await begin({ generate: 'nobody' });
    const { ada, channel, server } = stage;
    const asked = await accepted(stage);
    channel.deny(Can.AttachFiles);
    server.expireTokens();
    await stage.startWorker(stage.clips());
    const shown = await server.until(() => ada.dm.visible[0]);
    expect(shown.attachments).toHaveLength(1);
    expect(shown.text).toContain('I lack the permission Attach Files');
    await server.until(() => asked.original?.text.includes('Sent as a direct message'));
    expect(asked.original?.pressables).toEqual([]);
  });

  it('is not announced by progress again and again where Discord refuses that', async () => {
    const stage = await begin({ generate: 'nobody' });
    await accepted(stage);
    stage.channel.deny(Can.ViewChannel);
    stage.server.expireTokens();
    await stage.startWorker(stage.clips({ steps: 60, stepMs: 5 }));
    await stage.server.until(() => stage.ada.dm.visible.length > 0);
    expect(stage.ada.dm.visible[0]?.text).toContain('View Channel');
    expect(stage.server.invalidRequests().length).toBeLessThan(6);
  });

  it('of a private request goes by direct message when its token has expired', async () => {
    const stage = await begin({ generate: 'nobody' });
    await accepted(stage, {}, { private: true });
    stage.server.expireTokens();
    await stage.startWorker(stage.clips());
    await stage.server.until(() => stage.ada.dm.visible.some(({ attachments }) => attachments.length > 0));
    expect(stage.channel.visible).toEqual([]);
  });

  it('is given up, and the credits come back, when the person cannot be reached at all', async () => {
    const stage = await begin({ generate: 'nobody' });
    await accepted(stage);
    stage.guild.kickBot();
    stage.server.expireTokens();
    stage.ada.closesDms();
    await stage.startWorker(stage.clips());
    const redis = stage.redis.connect();
    await stage.server.until(async () => (await redis.zcard('{kinora}:pending')) === 0);
    expect(stage.logged.join('')).toContain('Discord takes no answer');
    const used = await redis.hget('{kinora}:used:2026-11-21', `discord:${stage.ada.id}`);
    expect(Number(used ?? 0)).toBe(0);
  });

  it.each([
    ['is rate limited', { status: 429, retryAfter: 0.3, times: 2 }],
    ['answers 500', { status: 500, times: 5 }],
    ['resets the connection', { status: 'reset', times: 2 }],
    ['loses its answer', { status: 'after', times: 1 }],
    ['does not answer', { status: 'hang', times: 3 }],
  ] as const)('is posted once although Discord %s', async (_, fault) => {
    const stage = await begin({ generate: 'nobody', restTimeoutMs: 300 });
    const asked = await accepted(stage);
    // Without progress, the upload is the next edit.
    const trouble = stage.server.fail({ method: 'PATCH', route: '/webhooks/', ...fault });
    await stage.startWorker(stage.clips({ steps: 0 }));
    const shown = await stage.video(asked);
    await stage.server.until(async () => (await stage.redis.connect().zcard('{kinora}:pending')) === 0);
    expect(trouble.hits).toBe(fault.times);
    expect(shown.attachments).toHaveLength(1);
    expect(stage.channel.visible).toEqual([shown]);
  });

  it('is posted once as a reply although the answer to that was lost', async () => {
    const stage = await begin({ generate: 'nobody' });
    const asked = await accepted(stage);
    if (asked.original) stage.root.deletes(asked.original);
    const fault = stage.server.fail({ method: 'POST', route: '/channels/', status: 'after', times: 2 });
    await stage.startWorker(stage.clips());
    await stage.server.until(() => fault.hits === 2);
    await stage.server.until(async () => (await stage.redis.connect().zcard('{kinora}:pending')) === 0);
    expect(stage.channel.visible).toHaveLength(1);
  });

  it('is made smaller where it is too large, and says so', async () => {
    const stage = await begin({ generate: 'nobody' });
    const asked = await accepted(stage);
    stage.server.fail({ method: 'PATCH', route: '/webhooks/', status: 400, code: 40_005, times: 2 });
    const before = stage.clips({ steps: 0 });
    let bytes = 0;
    await stage.startWorker(async (entry, files, hooks) => {
      const artifact = await before(entry, files, hooks);
      bytes = artifact.bytes;
      return artifact;
    });
    const shown = await stage.video(asked);
    expect(shown.attachments[0]?.bytes.byteLength).toBeLessThan(bytes * 0.4);
    expect((await infoOf(stage, shown)).numFrames).toBe(8);
    expect(shown.text).toContain('Compressed to fit');
  });

  it('may be as large as Discord says for this person in this place', async () => {
    const stage = await begin({ generate: 'nobody' });
    const { ada, channel, server, redis } = stage;
    const rich = server.user({ name: 'rich', uploadLimitBytes: 500 * 2 ** 20 });
    const boosted = server.guild({ name: 'Boosted', uploadLimitBytes: 50 * 2 ** 20 }).channel();
    const ledger = new Ledger(redis.connect());
    for (const [person, where, megabytes] of [
      [ada, channel, 10],
      [rich, channel, 500],
      [ada, boosted, 50],
    ] as const) {
      const asked = person.runs('/animate', picture, { channel: where });
      await stage.said(asked, /^Accepted/);
      const entry = await ledger.read(`dc-${asked.id}`);
      expect(entry?.request.userName).toBe(person.api.username);
      // A little less, for the rest of the upload and for places of refuge.
      expect(entry?.request.generation.maxBytes).toBe(Math.floor(megabytes * 2 ** 20 * 0.95));
    }
  });

  it('never comes before the acceptance, which would undo it', async () => {
    const stage = await begin();
    stage.server.fail({ method: 'PATCH', route: '/webhooks/', delayMs: 400 });
    const asked = stage.ada.runs('/animate', picture, { channel: stage.channel });
    await stage.video(asked);
    await sleep(300);
    expect(asked.original?.attachments).toHaveLength(1);
    expect(asked.original?.text).toContain('seed');
  });

  it('is not disturbed by progress: a rate limit drops updates, the video comes', async () => {
    const stage = await begin({ generate: 'nobody' });
    const asked = await accepted(stage);
    stage.server.limit({ route: '/webhooks/', requests: 3, perMs: 500 });
    await stage.startWorker(stage.clips({ steps: 60, stepMs: 10 }));
    const shown = await stage.video(asked);
    await sleep(200);
    expect(shown.text).toContain('seed');
    expect(shown.edits).toBeLessThan(20);
    expect(stage.server.invalidRequests().length).toBeLessThan(5);
  });
});

describe('buttons', () => {
  it('do all they promise, after a restart too', async () => {
    const stage = await begin();
    const { server, ada, channel } = stage;
    const shown = await stage.video(ada.runs('/animate', { ...picture, seed: 7 }, { channel }));
    await stage.stopBot();
    // Links to what was sent are dead by then; the picture is kept here.
    server.expireAttachments();
    await stage.startBot();

    const reroll = await stage.video(ada.presses(shown, 'Re-roll'));
    expect(reroll.text).toContain('"waves rolling"');
    expect(reroll.text).not.toContain('seed 7 ·');
    await stage.video(ada.presses(shown, 'Vary subtle'));
    await stage.video(ada.presses(shown, 'Vary strong'));
    const smooth = await stage.video(ada.presses(shown, 'Smooth ×3'));
    expect((await infoOf(stage, smooth)).numFrames).toBe(22);
    const loop = await stage.video(ada.presses(shown, 'Loop'));
    expect((await infoOf(stage, loop)).numFrames).toBe(14);
    const settings = await stage.said(ada.presses(shown, 'Settings'), /seed:7/);
    expect(settings.ephemeral).toBe(true);
    await stage.said(ada.presses(shown, 'Delete'), /Deleted/);
    expect(shown.deleted).toBe(true);
    expect(server.calls().filter(({ status = 0 }) => status >= 400)).toEqual([]);
  });

  it('refuse others politely, and only to them', async () => {
    const stage = await begin();
    const { ada, bob, channel } = stage;
    const shown = await stage.video(ada.runs('/animate', picture, { channel }));
    for (const label of ['Re-roll', 'Remix', 'Vary subtle', 'Smooth ×3', 'Delete']) {
      const refusal = await stage.said(bob.presses(shown, label), /Only the person who asked/);
      expect(refusal.ephemeral).toBe(true);
    }
    await stage.said(bob.presses(shown, 'Settings'), /Settings of this video/);
    expect(channel.visible).toEqual([shown]);
    expect(shown.deleted).toBe(false);
  });

  it('cancel what waits and what runs', async () => {
    const stage = await begin({ generate: 'nobody' });
    const { ada, bob, server } = stage;
    const waiting = await accepted(stage);
    if (!waiting.original) throw new Error('no message');
    await stage.said(bob.presses(waiting.original, 'Cancel'), /Only the person/);
    await stage.said(ada.presses(waiting.original, 'Cancel'), /Stopping/);
    await stage.said(waiting, /^Cancelled/);
    await stage.startWorker(stage.clips({ steps: 1000, stepMs: 10 }));
    // With a worker at hand, "Accepted" may be over before somebody looks.
    const running = ada.runs('/animate', picture, { channel: stage.channel });
    const shown = await stage.said(running, /step/);
    await stage.said(ada.presses(shown, 'Cancel'), /Stopping/);
    await stage.said(running, /^Cancelled/);
    expect(shown.pressables).toEqual([]);
    await server.until(async () => (await stage.redis.connect().zcard('{kinora}:pending')) === 0);
  });

  it('say no to a re-roll in private, and leave nothing behind', async () => {
    const stage = await begin({ terms: { limits: { queue: 10, user: 5, community: 5, credits: 1 } } });
    const { ada, channel } = stage;
    const shown = await stage.video(ada.runs('/animate', picture, { channel }));
    const refusal = await stage.said(ada.presses(shown, 'Re-roll'), /credits/);
    expect(refusal.ephemeral).toBe(true);
    expect(channel.visible).toEqual([shown]);
  });
});

describe('words', () => {
  it('are inert, and never longer than Discord takes', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 3000, unit: fc.constantFrom(...'\\\\*_~`|<>[]()@#-+1. a\n:/é😀') }),
        (text) => {
          const content = contentOf(text);
          expect(content.length).toBeLessThanOrEqual(2000);
          const bare = content.replaceAll(/\\[\s\S]/g, 'x');
          expect(bare).not.toMatch(/[\\*_~`|<>[\]]|:\/\/|^\s*(#|-|\+|\d+[.)])/m);
        },
      ),
    );
  });
});

describe('tokens', () => {
  it('of an earlier version are taken over from the disk, once', async ({ onTestFinished }) => {
    const folder = await mkdtemp(join(tmpdir(), 'kinora-tokens-'));
    const redis = await TestRedis.start();
    onTestFinished(async () => {
      await redis.stop();
      await rm(folder, { recursive: true, force: true });
    });
    const token = { applicationId: '1', token: 'secret' };
    const write = (name: string, expiresAt: number): Promise<void> =>
      writeFile(join(folder, name), JSON.stringify({ ...token, expiresAt }));
    await write('dc-1', Date.now() - 1);
    await write('dc-2', Date.now() + tokenLifeMs);
    await writeFile(join(folder, 'dc-3'), '{"torn');
    const keys = new Keys('t');
    const log = createLogger('test', 'silent');
    const store = (secret: string): TokenStore => new TokenStore(redis.failFast(), keys, secret, log);
    const before = store('of the bot');
    await before.adopt(folder);
    expect(existsSync(folder)).toBe(false);
    expect(await before.read('dc-1')).toBeUndefined();
    expect(await before.read('dc-2')).toEqual(token);
    await eventually('the token is kept', async () => (await redis.connect().keys('*')).length === 1);
    expect(await store('of the bot').read('dc-2')).toEqual(token);
    expect(await store('of another').read('dc-2')).toBeUndefined();
    before.forget('dc-2');
    expect(await store('of the bot').read('dc-2')).toBeUndefined();
  });
});

describe('commands', () => {
  it('tell about queue, person, privacy and help', async () => {
    const stage = await begin({ generate: 'nobody' });
    const { ada, channel, server } = stage;
    const asked = await accepted(stage);
    expect((await stage.said(ada.runs('/queue', {}, { channel }), /1 job waiting/)).ephemeral).toBe(true);
    await stage.said(ada.runs('/help', {}, { channel }), /options of \/animate/);
    const me = await stage.said(ada.runs('/me', {}, { channel }), /waves rolling/);
    await stage.said(ada.presses(me, 'Cancel: waves rolling'), /Stopping/);
    await stage.said(asked, /^Cancelled/);

    const privacy = await stage.said(ada.runs('/privacy', {}, { channel }), /Delete everything/);
    ada.presses(privacy, 'Delete everything');
    await server.until(() => privacy.text.includes('cannot be undone'));
    ada.presses(privacy, 'Yes, delete everything');
    await server.until(() => /^Done: 1 job/.test(privacy.text));
    expect(privacy.pressables).toEqual([]);
    expect(await stage.jobs.list()).toEqual([]);
  });

  it('of admins are offered only to the owners, and obey admins alone', async () => {
    const stage = await begin();
    const { ada, bob, root, channel, guild, server } = stage;
    const elsewhere = server.guild({ name: 'Elsewhere' }).channel();
    expect(() => root.runs('/stats', {}, { channel: elsewhere })).toThrow(/No command/);
    for (const { body } of server.commands(guild)) {
      expect(() => bob.runs(`/${body.name}`, {}, { channel }), body.name).toThrow(/needs the permissions/);
    }
    guild.member(bob, { permissions: Can.Administrator });
    for (const command of ['/stats', '/pause', '/resume', '/drain', '/audit']) {
      await stage.said(bob.runs(command, {}, { channel }), /Only admins/);
    }
    await stage.said(bob.runs('/quota grant', { user: bob, credits: 9 }, { channel }), /Only admins/);

    await stage.said(root.runs('/quota grant', { user: ada, credits: 9 }, { channel }), /9/);
    await stage.said(root.runs('/quota show', { user: ada }, { channel }), /9/);
    await stage.said(root.runs('/ban', { user: ada, hours: 2, reason: 'spam' }, { channel }), /./);
    await stage.said(ada.runs('/animate', picture, { channel }), /spam/);
    await stage.said(root.runs('/unban', { user: ada }, { channel }), /./);
    await stage.said(root.runs('/pause', {}, { channel }), /Done/);
    await stage.said(ada.runs('/animate', picture, { channel }), /paused/);
    // Nobody looks at the picture of whoever is refused.
    expect(stage.server.calls({ route: '/ephemeral-attachments' })).toEqual([]);
    await stage.said(root.runs('/resume', {}, { channel }), /Done/);
    // Of two who are the same to Discord, the one with a role that the settings name.
    await stage.said(bob.runs('/stats', {}, { channel }), /Only admins/);
    guild.member(bob, { roles: [stage.keepers] });
    await stage.said(bob.runs('/stats', {}, { channel }), /Workers: 1/);
    await stage.said(root.runs('/audit', { entries: 5 }, { channel }), /ban/);
    await stage.video(ada.runs('/animate', picture, { channel }));
  });

  it('of admins mean what their options say, and nothing else', async () => {
    const stage = await begin({ generate: 'nobody' });
    const { ada, root, channel, guild, server } = stage;
    const patrons = guild.role();
    const says = (command: string, options: Parameters<typeof root.runs>[1]) =>
      root.runs(command, options, { channel });
    const content = async (
      command: string,
      options: Parameters<typeof root.runs>[1],
      pattern: RegExp,
    ): Promise<string> => (await stage.said(says(command, options), pattern)).content;

    // A reason that looks like hours, or like credits, is a reason.
    expect(await content('/ban', { user: ada, reason: '7' }, /for good/)).toBe(
      `<@${ada.id}> is banned for good.`,
    );
    await stage.said(ada.runs('/animate', picture, { channel }), /^You cannot use Kinora: 7\.$/);
    const bans = await content('/bans', {}, /^Banned: 1/);
    expect(bans).toContain(`<@${ada.id}> · for good · <@${root.id}> `);
    expect(bans).toMatch(/: 7$/);
    await stage.said(says('/unban', { user: ada, reason: '24' }), /not banned any more/);
    await stage.said(says('/bans', {}), /Nobody is banned/);
    await stage.said(says('/quota set', { credits: 50, reason: '10' }), /^Missing: TARGET\./);
    await stage.said(says('/quota show', {}), /^Missing: TARGET\./);
    await stage.said(says('/quota reset', { reason: 'role:7' }), /^Missing: TARGET\./);
    await stage.said(says('/weight set', { weight: 2, reason: '10' }), /^Missing: TARGET\./);

    // No hours are no ban for good, nor one for a millisecond: the client says so.
    for (const hours of [0, 1e-9, -1, 1e9]) {
      expect(() => says('/ban', { user: ada, hours }), String(hours)).toThrow(/hours/);
    }

    // Exactly one target.
    const one = /^Name one target only: a user, a role or a community\.$/;
    await stage.said(says('/quota set', { credits: 50, user: ada, role: patrons }), one);
    await stage.said(says('/quota show', { role: patrons, community: guild.id }), one);
    await stage.said(says('/weight reset', { user: ada, role: patrons, community: guild.id }), one);
    await stage.said(says('/weight list', {}), /No weights are set/);
    expect(await content('/audit', {}, /unban/)).not.toMatch(/credits|weight/);

    expect(await content('/weight set', { weight: 2.5, role: patrons, reason: 'thanks' }, /weight/)).toMatch(
      new RegExp(`^<@&${patrons.id}>: weight 2\\.5\\. `),
    );
    await stage.said(
      says('/weight set', { weight: 0.5, community: guild.id }),
      /^community:discord:\d+: weight 0\.5/,
    );
    expect(() => says('/weight set', { weight: 11, user: ada })).toThrow();
    expect(await content('/weight list', {}, /Weights: 2/)).toContain(`<@&${patrons.id}> · 2.5`);
    await stage.said(says('/weight reset', { role: patrons }), /Done/);
    await stage.said(says('/weight show', { role: patrons }), /no weight of its own/);
    expect(await content('/audit', {}, /weight/)).toContain(
      `<@${root.id}> weight <@&${patrons.id}> (– → 2.5): thanks`,
    );

    await stage.said(root.runs('/help', {}, { channel }), /For admins: quota show.* · bans/);
    expect((await stage.said(ada.runs('/help', {}, { channel }), /options of/)).text).not.toContain(
      'For admins',
    );
    expect(server.commands().length).toBeGreaterThan(0);
  });

  it('of moderators set the rules of their server, which hold', async () => {
    const stage = await begin();
    const { ada, bob, channel, guild } = stage;
    guild.member(bob, { permissions: Can.ManageGuild });
    const other = guild.channel({ name: 'other', nsfw: true });
    expect(() => ada.runs('/rules show', {}, { channel })).toThrow(/permissions/);
    await stage.said(bob.runs('/rules show', {}, { channel }), /Channels: all/);
    await stage.said(bob.runs('/rules spoiler', { action: 'on' }, { channel }), /Done/);
    await stage.said(
      bob.runs('/rules words', { action: 'add', words: 'gore "two words"' }, { channel }),
      /2/,
    );
    await stage.said(bob.runs('/rules words', { action: 'list' }, { channel }), /"two words"/);
    await stage.said(bob.runs('/rules preset', { action: 'standard' }, { channel }), /standard/);
    const shown = await stage.video(ada.runs('/animate', picture, { channel }));
    expect(shown.attachments[0]?.spoiler).toBe(true);
    expect((await stage.video(ada.presses(shown, 'Loop'))).attachments[0]?.spoiler).toBe(true);
    const ask = (more: object, where = channel) =>
      ada.runs('/animate', { ...picture, ...more }, { channel: where });
    await stage.said(ask({ prompt: 'much gore' }), /blocked/);
    await stage.said(ask({ preset: 'high' }), /presets/);
    const allowed = bob.runs('/rules channels', { action: 'allow', channel: other }, { channel });
    expect((await stage.said(allowed, /Done/)).content).toContain(`Channels: <#${other.id}>`);
    await stage.said(ask({}), /only in certain channels/);
    await stage.video(ask({}, other));
    await stage.said(bob.runs('/rules age', { action: 'on' }, { channel }), /Done/);
    await stage.video(ask({}, other));
    await stage.said(bob.runs('/rules roles', { action: 'allow', role: guild.role() }, { channel }), /Done/);
    await stage.said(ask({}, other), /certain roles/);
  });

  it('are registered once, until they change', async () => {
    const stage = await begin({ generate: 'nobody' });
    const puts = () => stage.server.calls({ method: 'PUT', route: '/commands' }).length;
    expect(puts()).toBe(2);
    await stage.stopBot();
    await stage.startBot();
    await stage.said(stage.ada.runs('/help', {}, { channel: stage.channel }), /options of \/animate/);
    expect(puts()).toBe(2);
    // As an older version, with other commands, would have left it.
    await stage.stopBot();
    const redis = stage.redis.connect();
    const remembered = JSON.parse((await redis.get('{kinora}:discord:commands')) ?? '');
    await redis.set('{kinora}:discord:commands', JSON.stringify({ ...remembered, everywhere: 'another' }));
    await stage.startBot();
    await stage.server.until(() => puts() === 3);
    await stage.stopBot();
    await stage.startBot();
    await stage.said(stage.ada.runs('/help', {}, { channel: stage.channel }), /options of \/animate/);
    expect(puts()).toBe(3);
  });
});

describe('the connection', () => {
  it('comes back after a drop, resumed or anew', async () => {
    const stage = await begin();
    const { ada, channel, server } = stage;
    for (const resume of [true, false]) {
      server.dropGateway({ resume });
      await server.until(() => !server.gateway.connected);
      await server.until(() => server.gateway.connected);
      await stage.said(ada.runs('/help', {}, { channel }), /options of \/animate/);
    }
    // Discord takes the token away after a thousand a day.
    expect(server.gateway.identifies).toBe(2);
    expect(server.gateway.resumes).toBe(1);
  });

  it('is made later when Discord is down at the start, and never with a wrong token', async () => {
    const stage = await begin();
    await stage.stopBot();
    stage.server.fail({ route: '/gateway/bot', status: 503, times: 4 });
    await stage.startBot();
    expect(stage.server.gateway.connected).toBe(false);
    await stage.server.until(() => stage.server.gateway.connected);
    await stage.said(stage.ada.runs('/help', {}, { channel: stage.channel }), /options of/);
    const gateway = new Gateway({
      token: stage.server.token.replace(/.$/, '!'),
      clientOptions: stage.server.clientOptions,
      silentAfterMs: 60_000,
      onInteraction: () => {},
      onReady: () => {},
      log: createLogger('test', 'silent'),
    });
    await expect(gateway.start()).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    await gateway.stop();
  });

  it('is replaced when Discord has gone silent', async () => {
    const stage = await begin({ platform: { silentAfterMs: 400 } });
    const { ada, channel, server } = stage;
    server.gateway.deafen();
    await server.until(() => !server.gateway.connected);
    server.gateway.deafen(false);
    await server.until(() => server.gateway.connected);
    await stage.said(ada.runs('/help', {}, { channel }), /options of \/animate/);
  });
});
