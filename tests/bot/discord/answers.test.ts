/** Answers that a person would miss: reasons where Discord deletes nothing, and videos that came by an edit. */
import { PermissionFlagsBits as Can } from 'discord.js';
import { afterEach, describe, expect, it } from 'vitest';
import type { FakeMessage } from '../../fakes/discord/message.ts';
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

const svg = { ...photo, bytes: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>') };
const poor = { terms: { limits: { queue: 10, user: 5, community: 5, credits: 1 } } };
const picture = { image: photo, prompt: 'waves' };

describe('a refusal whose public message cannot be deleted', () => {
  const noDeletes = { method: 'DELETE', route: '/webhooks/', times: 100 };

  it.each([{ status: 500 }, { status: 403 }, { status: 'reset' }] as const)(
    'becomes the reason ($status)',
    async ({ status }) => {
      const stage = await begin({ generate: 'nobody' });
      stage.server.fail({ ...noDeletes, status });
      const asked = stage.ada.runs('/animate', { image: svg }, { channel: stage.channel });
      await stage.said(asked, /SVG/);
      expect(asked.original?.text).toMatch(/SVG/);
      expect(stage.server.transcript()).not.toMatch(/went wrong/);
    },
  );

  it('is told to the person alone when a moderator was faster', async () => {
    const stage = await begin({ generate: 'nobody' });
    const { server, ada, root, channel } = stage;
    const held = server.fail({ route: '/ephemeral-attachments', status: 'held' });
    const asked = ada.runs('/animate', { image: svg }, { channel });
    await server.until(() => held.hits === 1 && asked.original);
    if (asked.original) root.deletes(asked.original);
    held.release();
    expect((await stage.said(asked, /SVG/)).ephemeral).toBe(true);
    expect(server.transcript()).not.toMatch(/went wrong/);
  });

  it('becomes the reason under a button, too', async () => {
    const stage = await begin(poor);
    const { server, ada, channel } = stage;
    const shown = await stage.video(ada.runs('/animate', picture, { channel }));
    const trouble = server.fail({ ...noDeletes, status: 500 });
    const again = ada.presses(shown, 'Re-roll');
    await stage.said(again, /credits/);
    expect(server.transcript()).not.toMatch(/went wrong/);
    expect(again.followUps.map(({ text }) => /credits/.test(text))).toEqual([true]);
    // The files are gone, so the video must not stay.
    ada.presses(shown, 'Delete');
    await server.until(() => shown.text === 'Deleted.');
    expect(shown.attachments).toEqual([]);
    expect(shown.pressables).toEqual([]);
    trouble.lift();
  });
});

describe('a video that was long in coming', () => {
  const patient = { platform: { notifyAfterMs: 0 } };
  const calls = (messages: readonly FakeMessage[], { ada }: Stage) =>
    messages.filter(({ pings }) => pings.includes(ada.id));

  it('calls the person once, by a reply to it', async () => {
    const stage = await begin(patient);
    const { ada, channel, server } = stage;
    const shown = await stage.video(ada.runs('/animate', picture, { channel }));
    const call = await server.until(() => calls(channel.visible, stage)[0]);
    expect(call.text).toContain('Your video is ready.');
    expect(call.origin.repliesTo).toBe(shown);
    await server.until(async () => (await stage.redis.connect().zcard('{kinora}:pending')) === 0);
    expect(channel.visible).toEqual([shown, call]);
  });

  it('calls once although the answer of Discord is lost, and also by the bot itself', async () => {
    const stage = await begin({ ...patient, generate: 'nobody' });
    const { ada, channel, server } = stage;
    await stage.said(ada.runs('/animate', picture, { channel }), /^Accepted/);
    server.expireTokens();
    const lost = server.fail({ method: 'POST', route: '/channels/', status: 'after', times: 2 });
    await stage.startWorker(stage.clips());
    await server.until(() => lost.hits === 2);
    await server.until(async () => (await stage.redis.connect().zcard('{kinora}:pending')) === 0);
    expect(calls(channel.visible, stage)).toHaveLength(1);
  });

  it('calls by a follow-up where the bot may not write, and in secret what is private', async () => {
    const stage = await begin(patient);
    const { ada, channel, server } = stage;
    const secret = ada.runs('/animate', { ...picture, private: true }, { channel });
    const own = await server.until(() => calls(secret.followUps, stage)[0]);
    expect(own.ephemeral).toBe(true);
    expect(channel.visible).toEqual([]);

    const friends = ada.runs('/animate', picture, { userInstall: true });
    await server.until(() => calls(friends.followUps, stage)[0]);
    channel.deny(Can.SendMessages);
    const open = ada.runs('/animate', picture, { channel });
    await server.until(() => calls(open.followUps, stage)[0]);
    expect(calls(channel.visible, stage)).toHaveLength(1);
  });

  it('is posted once although Redis fails as the person is to be called', async () => {
    const stage = await begin({ generate: 'nobody', platform: { notifyAfterMs: 0, statusEveryMs: 60_000 } });
    const { ada, channel, server } = stage;
    const redis = stage.redis.connect();
    await stage.said(ada.runs('/animate', picture, { channel }), /^Accepted/);
    const [jobId] = await redis.zrange('{kinora}:pending', 0, '-1');
    server.expireTokens();
    channel.deny(Can.SendMessages);
    const held = server.fail({ method: 'PATCH', route: '/channels/', status: 'held' });
    await stage.startWorker(stage.clips());
    await server.until(() => held.hits === 1);
    // Redis answers the next look for the token by an error.
    await redis.lpush(`{kinora}:interaction:${jobId}`, 'no string');
    held.release();
    await server.until(async () => (await redis.zcard('{kinora}:pending')) === 0);
    expect(server.calls({ method: 'PATCH', route: '/channels/' })).toHaveLength(1);
  });

  it('calls nobody after a short wait', async () => {
    const stage = await begin();
    const { ada, channel, server } = stage;
    const shown = await stage.video(ada.runs('/animate', picture, { channel }));
    await server.until(async () => (await stage.redis.connect().zcard('{kinora}:pending')) === 0);
    expect(channel.visible).toEqual([shown]);
    expect(calls(channel.visible, stage)).toEqual([]);
  });
});
