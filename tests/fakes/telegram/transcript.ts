/** A chat as the people in it see it now, in plain text. */
import type { FakeChat } from './chat.ts';
import type { FakeButton, Keyboard } from './markup.ts';
import type { Media } from './media.ts';
import type { FakeMessage, Version } from './message.ts';
import type { FakePress } from './press.ts';
import type { World } from './world.ts';

/** @param states shows every state that a message went through, not only the last */
export function transcript(world: World, only?: FakeChat, states = false): string {
  const lines: string[] = [];
  let current: FakeChat | undefined;
  for (const entry of world.diary) {
    if (only && entry.chat !== only) continue;
    if (entry.chat !== current) lines.push('', `── ${nameOf(entry.chat)} ──`);
    current = entry.chat;
    lines.push(...(entry.kind === 'message' ? messageLines(entry.message, states) : pressLines(entry.press)));
  }
  return lines.join('\n').trim();
}

export function nameOf(chat: FakeChat): string {
  return chat.isPrivate ? `private chat with ${chat.name}` : `group ${chat.name}`;
}

function pressLines({ user, label, answers }: FakePress): string[] {
  const head = `${user.name} › presses [${label}]`;
  if (answers.length === 0) return [head, '  ⏳ no answer'];
  const said = answers
    .filter(({ text }) => text !== '')
    .map(({ text, alert }) => `  ${alert ? '⚠' : '💬'} ${text}`);
  return [head, ...said];
}

function messageLines(message: FakeMessage, states: boolean): string[] {
  const { replyTo, edits, deleted, reactions } = message;
  const notes = [
    replyTo ? `replying to ${replyTo.authorName}${replyTo.deleted ? ', deleted' : ''}` : '',
    edits > 0 ? `edited ${edits}×` : '',
    deleted ? 'deleted' : '',
  ].filter(Boolean);
  const head = `${message.authorName}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`;
  const extra = Object.keys(message.placing.extra ?? {}).map((kind) => `  📎 ${kind}`);
  const indented = (version: Version): string[] => bodyLines(version).map((line) => `  ${line}`);
  const shown = states ? message.history : message.history.slice(-1);
  if (deleted && !states) return [head];
  return [
    head,
    ...shown.flatMap((version, n) => [...(n > 0 ? ['  ↻'] : []), ...indented(version)]),
    ...extra,
    ...(reactions.length > 0 ? [`  (${reactions.join('')})`] : []),
  ];
}

export function bodyLines({ body, media, keyboard }: Version): string[] {
  return [
    ...(media ? [mediaLine(media)] : []),
    ...(body.text === '' ? [] : body.text.split('\n')),
    ...keyboardLines(keyboard),
  ];
}

function mediaLine({ kind, file, width, height, duration, ...media }: Media): string {
  const clip = kind === 'video' || kind === 'animation';
  const facts = [
    kind === 'photo' ? 'photo' : (file.name ?? kind),
    kind === 'photo' ? '' : file.mimeType,
    kind === 'document' ? '' : `${width}×${height}`,
    clip ? `0:${String(duration).padStart(2, '0')}` : '',
    size(file.bytes.byteLength),
    media.supportsStreaming ? 'streams' : '',
    media.thumbnail ? 'thumbnail' : '',
    media.spoiler ? 'spoiler' : '',
  ];
  const icon = clip ? '🎞' : kind === 'photo' ? '🖼' : '📎';
  return `${icon} ${facts.filter(Boolean).join(' · ')}`;
}

function keyboardLines(keyboard: Keyboard): string[] {
  return keyboard.map((row) => row.map(buttonText).join(' '));
}

function buttonText({ text, url, copy_text: copied }: FakeButton): string {
  if (url !== undefined) return `[${text} → ${url}]`;
  return copied ? `[${text} ⧉]` : `[${text}]`;
}

function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
