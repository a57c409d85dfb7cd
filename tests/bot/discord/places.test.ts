/** Rules and allowances where discord.js does not know the place or the roles by itself. */
import { PermissionFlagsBits as Can } from 'discord.js';
import { afterEach, describe, it } from 'vitest';
import { photo, Stage, type StageOptions } from '../../helpers/discord-stage.ts';

const stages: Stage[] = [];
afterEach(async () => {
  for (const stage of stages.splice(0)) await stage.stop();
});

async function begin(options: StageOptions = {}): Promise<Stage> {
  const stage = await Stage.start({ generate: 'nobody', ...options });
  stages.push(stage);
  stage.guild.member(stage.bob, { permissions: Can.ManageGuild });
  return stage;
}

const picture = { image: photo, prompt: 'waves' };

describe('a person with more than 64 roles', () => {
  it('has the rights and the allowance of each', async () => {
    const stage = await begin({
      terms: { cost: () => 5, limits: { queue: 10, user: 5, community: 5, credits: 1 } },
    });
    const { ada, bob, root, guild, channel } = stage;
    const roles = Array.from({ length: 200 }, () => guild.role());
    guild.member(ada, { roles });
    for (const role of [roles[0], roles[70], roles[199]]) {
      if (!role) throw new Error('no role');
      await stage.said(bob.runs('/rules roles', { action: 'allow', role }, { channel }), /Done/);
      await stage.said(root.runs('/quota set', { role, credits: 50 }, { channel }), /50/);
      await stage.said(ada.runs('/animate', picture, { channel }), /^Accepted/);
      await stage.said(bob.runs('/rules roles', { action: 'clear' }, { channel }), /Done/);
      await stage.said(root.runs('/quota reset', { role }, { channel }), /Done/);
    }
  });
});

describe('a thread', () => {
  it.each([true, false])('has the rules of its channel (private: %s)', async (isPrivate) => {
    const stage = await begin();
    const { ada, bob, guild } = stage;
    const nsfw = guild.channel({ name: 'pictures', nsfw: true });
    const thread = nsfw.thread({ isPrivate });
    const outside = stage.channel.thread({ isPrivate });
    await stage.said(
      bob.runs('/rules channels', { action: 'allow', channel: nsfw }, { channel: nsfw }),
      /Done/,
    );
    await stage.said(bob.runs('/rules age', { action: 'on' }, { channel: nsfw }), /Done/);
    await stage.said(ada.runs('/animate', picture, { channel: thread }), /^Accepted/);
    await stage.said(ada.runs('/animate', picture, { channel: outside }), /age-restricted|certain channels/);
  });
});

describe('where only the person has installed Kinora', () => {
  it('the place is known by what the interaction tells', async () => {
    const stage = await begin();
    const { ada, bob, server } = stage;
    const guild = server.guild({ name: 'Elsewhere' });
    guild.member(bob, { permissions: Can.ManageGuild });
    const adults = guild.channel({ nsfw: true });
    const open = guild.channel();
    await stage.said(bob.runs('/rules age', { action: 'on' }, { channel: adults }), /Done/);
    await stage.said(
      bob.runs('/rules channels', { action: 'allow', channel: adults }, { channel: adults }),
      /Done/,
    );
    guild.kickBot();
    const ask = (channel: typeof adults) => ada.runs('/animate', picture, { channel, userInstall: true });
    await stage.said(ask(adults), /^Accepted/);
    await stage.said(ask(adults.thread()), /^Accepted/);
    await stage.said(ask(adults.thread({ isPrivate: true })), /^Accepted/);
    await stage.said(ask(open), /age-restricted|certain channels/);
    await stage.said(ask(open.thread()), /age-restricted|certain channels/);
  });
});
