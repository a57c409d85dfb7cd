/** A channel as the people in it see it now, in plain text. */
import { ComponentType, MessageFlags } from 'discord.js';
import type { FakeChannel } from './channel.ts';
import { type Component, flatten } from './components.ts';
import type { FakeInteraction } from './interaction.ts';
import type { FakeMessage, Version } from './message.ts';
import type { Embed } from './message-body.ts';
import type { World } from './world.ts';

/** @param states shows every state that a message went through, not only the last */
export function transcript(world: World, only?: FakeChannel, states = false): string {
  const lines: string[] = [];
  let current: FakeChannel | undefined;
  for (const entry of world.diary) {
    if (only && entry.channel !== only) continue;
    if (entry.channel !== current) lines.push('', `── ${nameOf(entry.channel)} ──`);
    current = entry.channel;
    if (entry.kind === 'message') lines.push(...messageLines(world, entry.message, states));
    else lines.push(`${entry.user.name} › ${entry.deed}`, ...answerLines(world, entry.interaction));
  }
  return lines.join('\n').trim();
}

export function nameOf({ guild, name, botIsHere }: FakeChannel): string {
  if (guild) return `#${name} (${guild.name})`;
  return botIsHere ? `direct messages with ${name}` : `group ${name}`;
}

function answerLines(world: World, interaction: FakeInteraction): string[] {
  if (interaction.failed) return ['  ⚠ The application did not respond'];
  const modal = interaction.modal();
  if (!modal) return [];
  const inputs = modal.inputs.map(({ label, input }) => {
    const value = 'value' in input ? JSON.stringify(input.value) : '';
    return `  │ ${label}: ${value}`;
  });
  return [`  ┌ ${world.bot.username} asks: ${modal.title}`, ...inputs, '  └'];
}

function messageLines(world: World, message: FakeMessage, states: boolean): string[] {
  const { author, onlyFor, repliesTo } = message.origin;
  const notes = [
    onlyFor === undefined ? '' : `only ${world.users.get(onlyFor)?.name ?? 'one person'} sees this`,
    repliesTo ? `replying to ${repliesTo.origin.author.username}` : '',
    message.edits > 0 ? `edited ${message.edits}×` : '',
    message.deleted ? 'deleted' : '',
  ].filter(Boolean);
  const head = `${author.username}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`;
  const indented = (version: Version): string[] => bodyLines(version).map((line) => `  ${line}`);
  if (states)
    return [
      head,
      ...message.history.flatMap((version, n) => [...(n > 0 ? ['  ↻'] : []), ...indented(version)]),
    ];
  return message.deleted ? [head] : [head, ...indented(message.present)];
}

export function bodyLines({ content, embeds, components, attachments, flags }: Version): string[] {
  if (flags & MessageFlags.Loading) return ['… is thinking'];
  const files = attachments.map(
    ({ name, contentType, bytes, spoiler }) =>
      `📎 ${name} · ${contentType} · ${size(bytes.byteLength)}${spoiler ? ' · spoiler' : ''}`,
  );
  return [
    ...(content ? content.split('\n') : []),
    ...embeds.flatMap(embedLines),
    ...files,
    ...components.flatMap(componentLines),
  ];
}

function embedLines({ author, title, description, fields = [], image, footer }: Embed): string[] {
  const lines = [
    author?.name,
    title,
    ...(description?.split('\n') ?? []),
    ...fields.map(({ name, value }) => `${name}: ${value}`),
    image && `🖼 ${image.url}`,
    footer?.text,
  ];
  return lines.filter((line) => line !== undefined).map((line) => `┃ ${line}`);
}

function componentLines(component: Component): string[] {
  switch (component.type) {
    case ComponentType.ActionRow:
      return [component.components.flatMap(componentLines).join(' ')];
    case ComponentType.Button: {
      const words = [component.emoji?.name, component.label, component.url && `→ ${component.url}`];
      const label = words.filter(Boolean).join(' ');
      return [component.disabled ? `(${label})` : `[${label}]`];
    }
    case ComponentType.StringSelect:
      return [`[▾ ${component.options.map(({ label }) => label).join(' | ')}]`];
    case ComponentType.TextDisplay:
      return component.content.split('\n');
    case ComponentType.MediaGallery:
      return component.items.map(({ media }) => `🖼 ${media.url}`);
    case ComponentType.Section:
    case ComponentType.Container:
      return flatten([component])
        .slice(1)
        .filter((part) => part.type !== ComponentType.Thumbnail)
        .flatMap(innerLines);
    default:
      return [];
  }
}

/** Rows are flattened with what is in them; only the leaves speak. */
function innerLines(component: Component): string[] {
  return component.type === ComponentType.ActionRow || component.type === ComponentType.Section
    ? []
    : componentLines(component);
}

function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
