/**
 * The fake Discord, proven with the real discord.js client: what a bot may do works, what Discord refuses is refused
 * with its codes, and every fault can be made to happen.
 */
import {
  ActionRowBuilder,
  ApplicationCommandType,
  ApplicationIntegrationType,
  ButtonBuilder,
  ButtonStyle,
  Client,
  type ClientOptions,
  DiscordAPIError,
  EmbedBuilder,
  Events,
  GatewayIntentBits,
  HTTPError,
  type Interaction,
  InteractionContextType,
  Locale,
  type MessageCreateOptions,
  MessageFlags,
  ModalBuilder,
  ApplicationCommandOptionType as Option,
  PermissionFlagsBits,
  type RepliableInteraction,
  Routes,
  StringSelectMenuBuilder,
  TextInputBuilder,
  TextInputStyle,
} from 'discord.js';
import { afterEach, describe, expect, it } from 'vitest';
import { type FakeDiscord, type FakeDiscordOptions, startFakeDiscord } from './discord/server.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const cat = {
  name: 'my cat.png',
  bytes: new Uint8Array([0x89, 0x50, 0x4e, 0x47, 1, 2, 3]),
  contentType: 'image/png',
};
const clip = Buffer.alloc(20_000, 7);
const everywhere = {
  contexts: [
    InteractionContextType.Guild,
    InteractionContextType.BotDM,
    InteractionContextType.PrivateChannel,
  ],
  integrationTypes: [ApplicationIntegrationType.GuildInstall, ApplicationIntegrationType.UserInstall],
};
const commands = [
  {
    ...everywhere,
    name: 'animate',
    description: 'Brings a picture to life',
    descriptionLocalizations: { 'zh-CN': '让图片动起来' },
    options: [
      { type: Option.Attachment, name: 'image', description: 'The picture', required: true },
      { type: Option.String, name: 'prompt', description: 'What moves', maxLength: 500 },
      { type: Option.String, name: 'preset', description: 'How good', autocomplete: true },
      { type: Option.Integer, name: 'seed', description: 'A number', minValue: 0 },
    ],
  },
  { ...everywhere, name: 'Animate', type: ApplicationCommandType.Message },
  {
    name: 'quota',
    description: 'Quotas',
    defaultMemberPermissions: PermissionFlagsBits.ManageGuild,
    options: [
      {
        type: Option.Subcommand,
        name: 'grant',
        description: 'Grants',
        options: [{ type: Option.User, name: 'user', description: 'Who', required: true }],
      },
    ],
  },
] as const;

async function stage(options: FakeDiscordOptions = {}, rest: ClientOptions['rest'] = {}) {
  const server = await startFakeDiscord(options);
  closing.push(() => server.stop());
  const guild = server.guild({ name: 'Painters' });
  const channel = guild.channel({ name: 'animations' });
  const ada = server.user({ name: 'ada', locale: Locale.ChineseCN });
  return { server, guild, channel, ada, client: await connect(server, rest) };
}

async function connect(server: FakeDiscord, rest: ClientOptions['rest'] = {}): Promise<Client<true>> {
  const options = server.clientOptions;
  const client = new Client({
    ...options,
    intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages],
    rest: { ...options.rest, ...rest },
  });
  closing.push(() => client.destroy());
  client.on(Events.Error, () => {});
  const ready = new Promise<Client<true>>((resolve) => client.once(Events.ClientReady, resolve));
  await client.login(server.token);
  const connected = await ready;
  await connected.application.commands.set(commands.map((command) => ({ ...command })));
  return connected;
}

/** The next interaction as the bot gets it. */
function next(client: Client): Promise<Interaction> {
  return new Promise((resolve) => client.once(Events.InteractionCreate, resolve));
}

async function nextRepliable(client: Client): Promise<RepliableInteraction> {
  const interaction = await next(client);
  if (!interaction.isRepliable()) throw new Error('cannot be replied to');
  return interaction;
}

async function refusal(
  promise: Promise<unknown>,
): Promise<{ status: number; code: number | string; message: string }> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof DiscordAPIError))
    throw new Error(`expected a refusal of Discord, got ${String(error)}`);
  return { status: error.status, code: error.code, message: error.message };
}

const button = (id: string, label: string) =>
  new ActionRowBuilder<ButtonBuilder>().addComponents(
    new ButtonBuilder().setCustomId(id).setLabel(label).setStyle(ButtonStyle.Primary),
  );
const input = (id: string, label: string, value: string) =>
  new ActionRowBuilder<TextInputBuilder>().addComponents(
    new TextInputBuilder().setCustomId(id).setLabel(label).setStyle(TextInputStyle.Paragraph).setValue(value),
  );

describe('a conversation', () => {
  it('goes from a command with a picture to the clip and a remix through a modal', async () => {
    const { server, channel, ada, client } = await stage();

    const coming = next(client);
    const asked = ada.runs(
      '/animate',
      { image: cat, prompt: 'the cat @everyone blinks', seed: 7 },
      { channel },
    );
    const command = await coming;
    if (!command.isChatInputCommand()) throw new Error('not a command');
    const picture = command.options.getAttachment('image', true);
    expect(picture).toMatchObject({ name: 'my_cat.png', size: 7, contentType: 'image/png' });
    expect(new Uint8Array(await (await fetch(picture.url)).arrayBuffer())).toEqual(cat.bytes);
    expect(command.options.getInteger('seed')).toBe(7);
    expect(command).toMatchObject({ locale: 'zh-CN', attachmentSizeLimit: 10 * 1024 * 1024, context: 0 });
    expect(command.channel?.id).toBe(channel.id);

    const response = await command.deferReply({ withResponse: true });
    expect(response.resource?.message?.id).toBe(asked.message()?.id);
    expect(asked.message()?.loading).toBe(true);
    expect(asked.acknowledgedAfterMs).toBeLessThan(1000);
    await command.editReply({ content: 'Step 1/2', components: [button('cancel', 'Cancel')] });
    await command.editReply({
      content: 'the cat @everyone blinks',
      allowedMentions: { parse: [] },
      files: [{ attachment: clip, name: 'kinora.mp4' }],
      embeds: [new EmbedBuilder().setTitle('Ready').addFields({ name: 'seed', value: '7' })],
      components: [button('remix:1', 'Remix')],
    });
    const shown = await server.until(() => asked.message());
    expect(shown.attachments).toMatchObject([{ name: 'kinora.mp4', contentType: 'video/mp4' }]);
    expect(Buffer.from(shown.attachments[0]?.bytes ?? []).equals(clip)).toBe(true);
    expect(shown.history.map(({ content, via }) => [content, via])).toEqual([
      ['', 'webhook'],
      ['Step 1/2', 'webhook'],
      ['the cat @everyone blinks', 'webhook'],
    ]);
    expect(shown.pings).toEqual([]);

    const pressing = next(client);
    const pressed = ada.presses(shown, 'Remix');
    const press = await pressing;
    if (!press.isButton()) throw new Error('not a button');
    expect(press.customId).toBe('remix:1');
    expect(press.message.attachments.first()?.name).toBe('kinora.mp4');
    await press.showModal(
      new ModalBuilder()
        .setCustomId('remix:1')
        .setTitle('Remix')
        .addComponents(input('prompt', 'Prompt', 'the cat blinks')),
    );
    const modal = await server.until(() => pressed.modal());

    const submitting = next(client);
    const submitted = ada.submits(modal, { prompt: 'the cat yawns' });
    const submission = await submitting;
    if (!submission.isModalSubmit()) throw new Error('not a modal');
    expect(submission.fields.getTextInputValue('prompt')).toBe('the cat yawns');
    expect(submission.isFromMessage()).toBe(true);
    await submission.reply({ content: 'Accepted', flags: MessageFlags.Ephemeral });
    await submission.followUp('As a follow-up');
    expect(submitted.replies().map(({ content, ephemeral }) => [content, ephemeral])).toEqual([
      ['Accepted', true],
      ['As a follow-up', false],
    ]);

    expect(server.transcript(channel)).toBe(
      [
        '── #animations (Painters) ──',
        'ada › /animate image:my_cat.png prompt:"the cat @everyone blinks" seed:7',
        'Kinora (edited 2×)',
        '  the cat @everyone blinks',
        '  ┃ Ready',
        '  ┃ seed: 7',
        '  📎 kinora.mp4 · video/mp4 · 20.0 kB',
        '  [Remix]',
        'ada › presses [Remix]',
        '  ┌ Kinora asks: Remix',
        '  │ Prompt: "the cat blinks"',
        '  └',
        'ada › submits "Remix" prompt:"the cat yawns"',
        'Kinora (only ada sees this)',
        '  Accepted',
        'Kinora',
        '  As a follow-up',
      ].join('\n'),
    );
    expect(server.transcript(channel, { states: true })).toContain(
      '  … is thinking\n  ↻\n  Step 1/2\n  [Cancel]\n  ↻',
    );
    expect(server.calls().filter(({ status = 0 }) => status >= 400)).toEqual([]);
  });

  it('works by menu, autocomplete, subcommand, in direct messages and by user install', async () => {
    const { server, channel, ada, client, guild } = await stage();
    const photo = ada.posts(channel, { content: 'look', files: [cat] });

    let coming = next(client);
    const menu = ada.usesContextMenu(photo, 'Animate');
    const chosen = await coming;
    if (!chosen.isMessageContextMenuCommand()) throw new Error('not a menu');
    expect(chosen.targetMessage.attachments.first()?.url).toContain('/attachments/');
    await chosen.reply('Fine');
    expect(menu.message()?.content).toBe('Fine');

    coming = next(client);
    const completing = ada.completes('/animate', { preset: 'fa' }, 'preset', { channel });
    const typed = await coming;
    if (!typed.isAutocomplete()) throw new Error('not autocomplete');
    expect(typed.options.getFocused()).toBe('fa');
    await typed.respond([{ name: 'Fast', value: 'fast' }]);
    expect(await completing).toEqual([{ name: 'Fast', value: 'fast' }]);

    expect(() => ada.runs('/quota grant', { user: ada }, { channel })).toThrow(/permissions/);
    const grace = server.user({ name: 'grace' });
    const painters = guild.role({ name: 'moderators', permissions: PermissionFlagsBits.ManageGuild });
    guild.member(grace, { roles: [painters] });
    coming = next(client);
    grace.runs('/quota grant', { user: ada }, { channel });
    const granted = await coming;
    if (!granted.isChatInputCommand()) throw new Error('not a command');
    expect(granted.options.getSubcommand()).toBe('grant');
    expect(granted.options.getUser('user', true).username).toBe('ada');
    expect(granted.inCachedGuild() && granted.member.roles.cache.has(painters.id)).toBe(true);

    coming = next(client);
    ada.runs('/animate', { image: cat }, { dm: true });
    const direct = await coming;
    expect(direct).toMatchObject({ context: InteractionContextType.BotDM, guildId: null });

    coming = next(client);
    const elsewhere = ada.runs('/animate', { image: cat }, { userInstall: true });
    const installed = await coming;
    expect(installed.context).toBe(InteractionContextType.PrivateChannel);
    expect(installed.authorizingIntegrationOwners.userId).toBe(ada.id);
    if (!installed.isRepliable()) throw new Error('cannot be replied to');
    await installed.deferReply();
    const path = Routes.channelMessage(elsewhere.asked.channel.id, elsewhere.message()?.id ?? '');
    expect(await refusal(client.rest.patch(path, { body: { content: 'no' } }))).toMatchObject({
      code: 50001,
    });
    await installed.editReply('Working');
    for (let n = 0; n < 5; n += 1) await installed.followUp(`${n}`);
    expect(await refusal(installed.followUp('one too many'))).toMatchObject({ code: 40094 });

    const foreign = server.guild({ hasBot: false, name: 'Elsewhere' }).channel();
    coming = next(client);
    ada.runs('/animate', { image: cat }, { channel: foreign, userInstall: true });
    expect(await coming).toMatchObject({
      context: InteractionContextType.Guild,
      guild: null,
      channelId: foreign.id,
    });
    expect(() => ada.runs('/animate', { image: cat }, { channel: foreign })).toThrow(/bot is not/);

    expect(() => ada.runs('/animate', {}, { channel })).toThrow(/required/);
    expect(() => ada.runs('/nothing', {}, { channel })).toThrow(/there are: animate/);
  });

  it('updates by buttons and menus, and takes files and choices in modals', async () => {
    const { server, channel, ada, client } = await stage();
    let coming = nextRepliable(client);
    const asked = ada.runs('/animate', { image: cat }, { channel });
    const menu = new StringSelectMenuBuilder()
      .setCustomId('preset')
      .addOptions({ label: 'Fast', value: 'fast' });
    await (await coming).reply({
      content: 'Pick',
      components: [button('a', 'A'), new ActionRowBuilder<StringSelectMenuBuilder>().addComponents(menu)],
    });
    const message = await server.until(() => asked.message());
    expect(server.transcript()).toContain('  Pick\n  [A]\n  [▾ Fast]');

    coming = nextRepliable(client);
    const selected = ada.selects(message, 'preset', ['fast']);
    const selection = await coming;
    if (!selection.isStringSelectMenu()) throw new Error('not a menu');
    expect(selection.values).toEqual(['fast']);
    await selection.deferUpdate();
    await selection.editReply({ content: 'Picked fast' });
    expect(selected.message()).toBe(message);

    coming = nextRepliable(client);
    const pressed = ada.presses(message, 'a');
    const press = await coming;
    if (!press.isButton()) throw new Error('not a button');
    const modal = {
      custom_id: 'new',
      title: 'New',
      components: [
        {
          type: 18,
          label: 'Picture',
          component: { type: 19, custom_id: 'picture', min_values: 1, max_values: 1 },
        },
        {
          type: 18,
          label: 'Prompt',
          component: { type: 4, custom_id: 'prompt', style: 1, max_length: 5, required: false },
        },
        {
          type: 18,
          label: 'Preset',
          component: {
            type: 3,
            custom_id: 'preset',
            options: [{ label: 'Fast', value: 'fast', default: true }],
          },
        },
      ],
    };
    const callback = Routes.interactionCallback(press.id, press.token);
    await client.rest.post(callback, { body: { type: 9, data: modal }, auth: false });
    expect(() => ada.submits(pressed.modal(), {})).toThrow(/"picture" is required/);
    expect(() => ada.submits(pressed.modal(), { picture: cat, prompt: 'too long' })).toThrow(/0 to 5/);
    coming = nextRepliable(client);
    ada.submits(pressed.modal(), { picture: cat });
    const submission = await coming;
    if (!submission.isModalSubmit() || !submission.isFromMessage()) throw new Error('not a modal');
    expect(submission.fields.getStringSelectValues('preset')).toEqual(['fast']);
    expect(submission.fields.getTextInputValue('prompt')).toBe('');
    const { url = '' } = submission.fields.getUploadedFiles('picture')?.first() ?? {};
    expect(new Uint8Array(await (await fetch(url)).arrayBuffer())).toEqual(cat.bytes);
    await submission.update({ content: 'Updated', components: [] });
    expect(message.history.map(({ content }) => content)).toEqual(['Pick', 'Picked fast', 'Updated']);
    expect(message.pressables).toEqual([]);
  });

  it('posts, replies, edits and deletes in channels and direct messages, once per nonce', async () => {
    const { server, channel, ada, client } = await stage();
    const target = await client.channels.fetch(channel.id);
    if (!target?.isSendable()) throw new Error('no channel');
    const photo = ada.posts(channel, { content: 'look' });
    const reply = {
      content: 'Done',
      nonce: 'job-1',
      enforceNonce: true,
      reply: { messageReference: photo.id },
    };
    const first = await target.send(reply);
    expect((await target.send(reply)).id).toBe(first.id);
    expect(channel.visible.map(({ content }) => content)).toEqual(['look', 'Done']);
    expect(server.transcript(channel)).toContain('Kinora (replying to ada)');
    await first.edit({ content: `<@${ada.id}> @everyone`, allowedMentions: { parse: [] } });
    expect(channel.visible[1]?.pings).toEqual([]);
    await first.edit(`<@${ada.id}> @everyone`);
    expect(channel.visible[1]?.pings).toEqual([ada.id, 'everyone']);
    await first.edit({ files: [{ attachment: clip, name: 'a.mp4' }] });
    expect((await first.fetch(true)).attachments.map(({ name }) => name)).toEqual(['a.mp4']);
    await first.delete();
    expect(await refusal(first.edit('gone'))).toMatchObject({ status: 404, code: 10008 });
    expect(
      await refusal(target.send({ ...reply, nonce: 'job-2', reply: { messageReference: first.id } })),
    ).toMatchObject({
      code: 50035,
    });

    const person = await client.users.fetch(ada.id);
    await person.send('Your clip');
    expect(ada.dm.visible.map(({ content }) => content)).toEqual(['Your clip']);
    ada.closesDms();
    expect(await refusal(person.send('Another'))).toMatchObject({ status: 403, code: 50007 });
  });
});

describe('what Discord refuses', () => {
  it('answers too late', async () => {
    const { server, channel, ada, client } = await stage({ ackWithinMs: 50 });
    const coming = nextRepliable(client);
    const late = ada.runs('/animate', { image: cat }, { channel });
    const slow = await coming;
    await server.until(() => late.failed);
    expect(await refusal(slow.deferReply())).toMatchObject({ status: 404, code: 10062 });
    expect(server.transcript()).toContain('did not respond');
  });

  it('answers twice, or with a dead token', async () => {
    const { server, channel, ada, client } = await stage({});
    const coming = nextRepliable(client);
    const asked = ada.runs('/animate', { image: cat }, { channel });
    const interaction = await coming;
    const callback = Routes.interactionCallback(interaction.id, interaction.token);
    expect(await refusal(interaction.webhook.editMessage('@original', 'early'))).toMatchObject({
      code: 10015,
    });
    await interaction.deferReply();
    expect(await refusal(client.rest.post(callback, { body: { type: 5 }, auth: false }))).toMatchObject({
      status: 400,
      code: 40060,
    });
    server.expireTokens();
    expect(await refusal(interaction.editReply('dead'))).toMatchObject({ status: 401, code: 50027 });
    const message = await client.channels.fetch(channel.id);
    if (!message?.isTextBased()) throw new Error('no channel');
    await message.messages.edit(asked.message()?.id ?? '', 'by the own token of the bot');
    expect(asked.message()?.content).toBe('by the own token of the bot');
    expect(asked.message()?.loading).toBe(false);
  });

  it('hides ephemeral messages from the bot token', async () => {
    const { channel, ada, client } = await stage();
    const coming = nextRepliable(client);
    const asked = ada.runs('/animate', { image: cat }, { channel });
    await (await coming).deferReply({ flags: MessageFlags.Ephemeral });
    const path = Routes.channelMessage(channel.id, asked.message()?.id ?? '');
    expect(await refusal(client.rest.patch(path, { body: { content: 'no' } }))).toMatchObject({
      code: 10008,
    });
  });

  it('lets the bot read what people write only with the privilege, and who is addressed', async () => {
    const { server, channel, ada, client } = await stage();
    const place = await client.channels.fetch(channel.id);
    if (!place?.isTextBased()) throw new Error('no channel');
    const read = async (content: string) => {
      const { id } = ada.posts(channel, { content, files: [cat] });
      const { content: seen, attachments } = await place.messages.fetch({ message: id, force: true });
      return [seen, attachments.size];
    };
    expect(await read('secret')).toEqual(['', 0]);
    expect(await read(`<@${server.applicationId}> hello`)).toEqual([`<@${server.applicationId}> hello`, 1]);
  });

  it('shows ephemeral messages and modals to their person only, disabled buttons to nobody', async () => {
    const { server, channel, ada, client } = await stage();
    const grace = server.user({ name: 'grace' });
    const coming = nextRepliable(client);
    const asked = ada.runs('/animate', { image: cat }, { channel });
    const interaction = await coming;
    await interaction.reply({ content: 'x', components: [button('a', 'A')], flags: MessageFlags.Ephemeral });
    const message = await server.until(() => asked.message());
    expect(() => grace.presses(message, 'A')).toThrow(/somebody else/);
    expect(() => ada.presses(message, 'B')).toThrow('there are: A (a)');
    const off = button('a', 'A');
    off.components[0]?.setDisabled(true);
    await interaction.editReply({ components: [off] });
    expect(() => ada.presses(message, 'A')).toThrow(/disabled/);
    await interaction.editReply({ components: [] });
    expect(() => ada.presses(message, 'A')).toThrow('there are: none');
    await interaction.deleteReply();
    expect(asked.message()).toBeUndefined();
    expect(() => ada.presses(message, 'A')).toThrow(/deleted/);
    expect(server.transcript()).toContain('Kinora (only ada sees this, edited 2×, deleted)');
  });

  it('refuses malformed messages, modals and commands', async () => {
    const { channel, ada, client } = await stage();
    const send = (body: object) => refusal(client.rest.post(Routes.channelMessages(channel.id), { body }));
    const plain = (n: number) => ({ type: 2, style: 1, label: 'x', custom_id: `${n}` });
    const row = (count: number, from = 0) => ({
      type: 1,
      components: Array.from({ length: count }, (_, n) => plain(from + n)),
    });
    const bad: object[] = [
      { content: 'x'.repeat(2001) },
      { embeds: [{ description: 'x'.repeat(4097) }] },
      { embeds: [{ description: 'x'.repeat(3100) }, { description: 'x'.repeat(3100) }] },
      { content: 'x', components: [row(6)] },
      { content: 'x', components: Array.from({ length: 6 }, (_, n) => row(1, n)) },
      { content: 'x', components: [row(1), row(1)] },
      { content: 'x', components: [{ type: 1, components: [{ ...plain(0), custom_id: 'x'.repeat(101) }] }] },
      { content: 'x', components: [{ type: 1, components: [{ ...plain(0), style: 5 }] }] },
      { content: 'x', allowed_mentions: { parse: ['users'], users: ['1'] } },
      { content: 'x', allowed_mentions: { parse: ['anyone'] } },
      { content: 'x', nonce: 'x'.repeat(26) },
      { content: 'x', attachments: [{ id: '99' }] },
      { content: 'x', flags: MessageFlags.IsComponentsV2, components: [{ type: 10, content: 'y' }] },
      { components: [{ type: 10, content: 'y' }] },
      { embeds: [{ image: { url: 'attachment://none.png' } }] },
    ];
    for (const body of bad)
      expect(await send(body), JSON.stringify(body).slice(0, 80)).toMatchObject({ code: 50035 });
    expect(await send({ content: '' })).toMatchObject({ code: 50006 });
    expect((await send({ content: 'x'.repeat(2001) })).message).toContain('content[TOO_BIG]');

    const coming = nextRepliable(client);
    ada.runs('/animate', { image: cat }, { channel });
    const { id, token } = await coming;
    const text = { type: 4, custom_id: 'a', label: 'A', style: 1 };
    const title = 'Remix';
    const rows = [{ type: 1, components: [text] }];
    for (const data of [
      { custom_id: 'm', title: 'x'.repeat(46), components: rows },
      { custom_id: 'm', title, components: Array.from({ length: 6 }, () => rows).flat() },
      { custom_id: 'm', title, components: [...rows, ...rows] },
      { custom_id: 'm', title, components: [] },
    ])
      expect(
        await refusal(
          client.rest.post(Routes.interactionCallback(id, token), { body: { type: 9, data }, auth: false }),
        ),
      ).toMatchObject({ code: 50035 });

    const option = { type: 3, name: 'a', description: 'A' };
    const command = { name: 'x', description: 'X' };
    for (const body of [
      { ...command, options: [option, { ...option, name: 'b', required: true }] },
      { ...command, options: [option, option] },
      { ...command, name: 'Upper' },
      { ...command, description: 'x'.repeat(101) },
      { ...command, options: [{ ...option, choices: [{ name: 'b', value: 'b' }], autocomplete: true }] },
      { type: 3, name: 'Menu', description: 'has none' },
    ])
      expect(
        await refusal(client.rest.put(Routes.applicationCommands(client.application.id), { body: [body] })),
        JSON.stringify(body),
      ).toMatchObject({ code: 50035 });
  });

  it('refuses big files and missing permissions, and unknown places', async () => {
    const { server, channel, guild, client } = await stage();
    const boosted = server.guild({ uploadLimitBytes: 50_000_000 }).channel();
    const big = { files: [{ attachment: Buffer.alloc(10 * 1024 * 1024 + 1), name: 'big.mp4' }] };
    const target = (id: string) => {
      const found = client.channels.cache.get(id);
      if (!found?.isSendable()) throw new Error('no channel');
      return found;
    };
    const send = async (id: string, body: string | MessageCreateOptions) => target(id).send(body);
    await server.until(() => client.channels.cache.has(boosted.id));
    expect(await refusal(send(channel.id, big))).toMatchObject({ status: 413, code: 40005 });
    await send(boosted.id, big);
    expect(boosted.visible[0]?.attachments[0]?.bytes.byteLength).toBe(10 * 1024 * 1024 + 1);

    channel.deny(PermissionFlagsBits.AttachFiles);
    expect(await refusal(send(channel.id, { files: [{ attachment: clip, name: 'a.mp4' }] }))).toMatchObject({
      code: 50013,
    });
    channel.deny(PermissionFlagsBits.ViewChannel);
    expect(await refusal(send(channel.id, 'x'))).toMatchObject({ status: 403, code: 50001 });
    channel.allow(PermissionFlagsBits.ViewChannel);
    await send(channel.id, 'x');
    const handle = target(boosted.id);
    boosted.delete();
    expect(await refusal(handle.send('x'))).toMatchObject({ status: 404, code: 10003 });
    const there = target(channel.id);
    guild.kickBot();
    expect(await refusal(there.send('x'))).toMatchObject({ code: 50001 });
  });

  it('lets links to attachments expire, and gives fresh ones', async () => {
    const { server, channel, ada, client } = await stage({ messageContent: true });
    const photo = ada.posts(channel, { files: [cat] });
    const place = await client.channels.fetch(channel.id);
    if (!place?.isTextBased()) throw new Error('no channel');
    const link = async () =>
      (await place.messages.fetch({ message: photo.id, force: true })).attachments.first()?.url ?? '';
    const old = await link();
    server.expireAttachments();
    expect((await fetch(old)).status).toBe(404);
    expect((await fetch(await link())).status).toBe(200);
    expect((await fetch(old.replace(/hm=\w+/, 'hm=0'))).status).toBe(404);
  });
});

describe('commands', () => {
  it('are overwritten in bulk, keep their ids, and show translations when asked', async () => {
    const { server, guild, client } = await stage();
    const before = server.commands().map(({ id, version }) => id + version);
    await client.application.commands.set(commands.map((command) => ({ ...command })));
    expect(server.commands().map(({ id, version }) => id + version)).toEqual(before);
    const known = await client.application.commands.fetch({ withLocalizations: true });
    expect(known.find(({ name }) => name === 'animate')?.descriptionLocalizations).toEqual({
      'zh-CN': '让图片动起来',
    });
    const bare = await client.rest.get(Routes.applicationCommands(client.application.id));
    expect(JSON.stringify(bare)).not.toContain('让图片动起来');
    await client.application.commands.set([{ name: 'drain', description: 'Owners only' }], guild.id);
    expect(server.commands(guild).map(({ body }) => body.name)).toEqual(['drain']);
    expect(server.commands()).toHaveLength(3);
  });
});

describe('trouble on order', () => {
  it('limits rates per bucket and by 429', async () => {
    const { server, channel, ada, client } = await stage();
    const coming = nextRepliable(client);
    const asked = ada.runs('/animate', { image: cat }, { channel });
    const interaction = await coming;
    await interaction.deferReply();
    server.limit({ method: 'PATCH', route: '/webhooks/', requests: 2, perMs: 200 });
    const started = Date.now();
    for (let n = 0; n < 3; n += 1) await interaction.editReply(`${n}`);
    expect(Date.now() - started).toBeGreaterThan(150);
    expect(server.calls({ method: 'PATCH' }).map(({ status }) => status)).toEqual([200, 200, 200]);

    const fault = server.fail({ method: 'POST', route: '/channels/', status: 429, retryAfter: 0.1 });
    const place = client.channels.cache.get(channel.id);
    if (!place?.isSendable()) throw new Error('no channel');
    await place.send('after a wait');
    expect(fault.hits).toBe(1);
    expect(server.invalidRequests()).toHaveLength(1);
    expect(server.calls({ method: 'POST', route: '/channels/' }).map(({ status }) => status)).toEqual([
      429, 200,
    ]);
    expect(asked.message()?.content).toBe('2');
  });

  it('answers 5xx, resets, loses answers, holds them, and hangs', async () => {
    const { server, channel, client } = await stage({}, { retries: 1, timeout: 300 });
    const place = client.channels.cache.get(channel.id);
    if (!place?.isSendable()) throw new Error('no channel');
    const contents = () => channel.visible.map(({ content }) => content);

    server.fail({ route: '/channels/', status: 502, times: 2 });
    await expect(place.send('a')).rejects.toBeInstanceOf(HTTPError);
    server.fail({ route: '/channels/', status: 'reset' });
    await place.send('b');
    expect(contents()).toEqual(['b']);

    server.fail({ route: '/channels/', status: 'after' });
    await place.send('c');
    expect(contents()).toEqual(['b', 'c', 'c']);
    server.fail({ route: '/channels/', status: 'after' });
    await place.send({ content: 'd', nonce: 'd', enforceNonce: true });
    expect(contents()).toEqual(['b', 'c', 'c', 'd']);

    server.fail({ route: '/channels/', status: 504, applied: true });
    await place.send({ content: 'dd', nonce: 'dd', enforceNonce: true });
    expect(contents()).toEqual(['b', 'c', 'c', 'd', 'dd']);

    server.fail({ route: '/channels/', status: 403, code: 50013 });
    expect(await refusal(place.send('refused'))).toMatchObject({ code: 50013 });
    expect(server.calls().at(-1)).toMatchObject({ status: 403, code: 50013 });

    server.fail({ route: '/channels/', status: 'hang', times: 2 });
    await expect(place.send('e')).rejects.toMatchObject({ name: 'AbortError' });
    expect(contents()).not.toContain('e');

    const held = server.fail({ route: '/channels/', status: 'held' });
    const sending = place.send('f');
    await server.until(() => contents().includes('f'));
    held.release();
    await sending;
    server.fail({ route: '/channels/', delayMs: 100 });
    const started = Date.now();
    await place.send('g');
    expect(Date.now() - started).toBeGreaterThanOrEqual(95);
  });

  it('troubles downloads too: redirects and answers that stop halfway', async () => {
    const { server, channel, ada, client } = await stage();
    const coming = next(client);
    ada.runs('/animate', { image: cat }, { channel });
    const command = await coming;
    if (!command.isChatInputCommand()) throw new Error('not a command');
    const { url } = command.options.getAttachment('image', true);
    server.fail({
      route: '/ephemeral-attachments/',
      status: 302,
      headers: { location: 'http://169.254.169.254/' },
    });
    await expect(fetch(url, { redirect: 'error' })).rejects.toThrow('fetch failed');
    server.fail({ route: '/ephemeral-attachments/', status: 'stall' });
    const half = await fetch(url, { signal: AbortSignal.timeout(100) });
    await expect(half.arrayBuffer()).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it('resumes with what was missed, or identifies anew without it', async () => {
    const { server, channel, ada, client } = await stage();
    server.dropGateway({ resume: true });
    const coming = next(client);
    ada.runs('/animate', { image: cat }, { channel });
    expect((await coming).user.username).toBe('ada');
    expect([server.gateway.identifies, server.gateway.resumes]).toEqual([1, 1]);

    server.gateway.askReconnect();
    await server.until(() => server.gateway.resumes === 2);

    server.dropGateway({ resume: false });
    expect(server.gateway.connected).toBe(false);
    const heard: string[] = [];
    client.on(Events.InteractionCreate, ({ id }) => heard.push(id));
    ada.runs('/animate', { image: cat }, { channel });
    await server.until(() => server.gateway.connected);
    const { id } = ada.runs('/animate', { image: cat }, { channel });
    await server.until(() => heard.length > 0);
    expect(heard).toEqual([id]);
    expect(server.gateway.identifies).toBe(2);
  });

  it('goes deaf: the client notices by its heartbeats and comes back', async () => {
    const { server } = await stage({ heartbeatIntervalMs: 150 });
    await server.until(() => server.gateway.heartbeats > 1);
    server.gateway.deafen();
    await server.until(() => !server.gateway.connected);
    server.gateway.deafen(false);
    await server.until(() => server.gateway.resumes === 1);
  });

  it('refuses a wrong token, and names what must stay out of logs', async () => {
    const { server, channel, ada, client } = await stage();
    const stranger = new Client({ ...server.clientOptions, intents: [] });
    await expect(stranger.login('wrong')).rejects.toThrow(/token/);
    await stranger.destroy();
    const coming = nextRepliable(client);
    ada.runs('/animate', { image: cat }, { channel });
    expect(server.secrets()).toEqual(expect.arrayContaining([server.token, (await coming).token]));
  });
});

describe('a call that Discord does not describe', () => {
  it.each([
    ['/users/@me/channels', { recipient_id: '1', colour: 'red' }, /no field "colour"/],
    ['/channels/1/messages', { content: 7 }, undefined],
  ])('fails the test that made it, unless it was refused: %s %j', async (route, body, sentence) => {
    const server = await startFakeDiscord();
    const ada = server.user();
    const json = JSON.stringify(body).replace('"1"', `"${ada.id}"`);
    const headers = { authorization: `Bot ${server.token}`, 'content-type': 'application/json' };
    await fetch(`${server.cdn}/api/v10${route.replace('/1/', `/${ada.dm.id}/`)}`, {
      method: 'POST',
      headers,
      body: json,
    });
    if (sentence) await expect(server.stop()).rejects.toThrow(sentence);
    else await server.stop();
  });
});
