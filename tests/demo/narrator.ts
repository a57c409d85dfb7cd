/**
 * Tells what happened on both servers since it last told, as people saw it: who did what, what the bot said to whom,
 * how its message changed, and where the video is now. Of many changes of one kind it shows one.
 */
import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { MessageFlags } from 'discord.js';
import type { FakeInteraction } from '../fakes/discord/interaction.ts';
import type { FakeMessage as DiscordMessage } from '../fakes/discord/message.ts';
import type { FakeDiscord } from '../fakes/discord/server.ts';
import { bodyLines as discordLines, nameOf as discordPlace } from '../fakes/discord/transcript.ts';
import type { FakeMessage as TelegramMessage } from '../fakes/telegram/message.ts';
import type { FakePress } from '../fakes/telegram/press.ts';
import type { FakeTelegram } from '../fakes/telegram/server.ts';
import { bodyLines as telegramLines, nameOf as telegramPlace } from '../fakes/telegram/transcript.ts';

/** One state of a message: its lines, and the files in it. */
interface State {
  readonly lines: readonly string[];
  readonly clips: readonly Uint8Array[];
}

interface Shown {
  readonly at: number;
  readonly place: string;
  /** Who, and a remark such as "only Bob sees this". */
  readonly who: string;
  readonly states: readonly State[];
}

const indent = ' '.repeat(9);

export class Narrator {
  readonly #discord: FakeDiscord;
  readonly #telegram: FakeTelegram;
  readonly #folder: string;
  readonly #write: (line: string) => void;
  #discordTold = 0;
  #telegramTold = 0;
  #place = '';
  readonly #saved = new Map<Uint8Array, string>();

  constructor(discord: FakeDiscord, telegram: FakeTelegram, folder: string, write: (line: string) => void) {
    this.#discord = discord;
    this.#telegram = telegram;
    this.#folder = folder;
    this.#write = write;
  }

  get clips(): number {
    return this.#saved.size;
  }

  /** A heading, and a remark of the theatre. */
  scene(title: string): void {
    this.#place = '';
    this.#write('');
    this.#write(`━━ ${title} ${'━'.repeat(Math.max(3, 76 - title.length))}`);
  }

  /** Everything new, in the order in which it began. */
  async tell(): Promise<void> {
    const discord = this.#discord.world.diary.slice(this.#discordTold);
    const telegram = this.#telegram.world.diary.slice(this.#telegramTold);
    this.#discordTold += discord.length;
    this.#telegramTold += telegram.length;
    const shown: Shown[] = [
      ...discord.flatMap((entry) =>
        entry.kind === 'message'
          ? this.#discordMessage(entry.message)
          : this.#deed(discordPlace(entry.channel), entry.user.name, entry.deed, entry.interaction),
      ),
      ...telegram.map((entry) =>
        entry.kind === 'message' ? this.#telegramMessage(entry.message) : this.#press(entry.press),
      ),
    ];
    for (const one of shown.sort((a, b) => a.at - b.at)) await this.#show(one);
  }

  /** Something that happened on neither server. */
  async elsewhere(place: string, who: string, lines: readonly string[], clips: readonly Uint8Array[] = []) {
    await this.#show({ at: Date.now(), place, who, states: [{ lines, clips }] });
  }

  #discordMessage(message: DiscordMessage): Shown[] {
    const { author, onlyFor, repliesTo } = message.origin;
    const { users, bot } = this.#discord.world;
    const remarks = [
      onlyFor === undefined ? '' : `only ${users.get(onlyFor)?.name ?? 'one person'} sees this`,
      repliesTo ? `replying to ${repliesTo.origin.author.username}` : '',
      message.deleted ? 'deleted later' : '',
    ].filter(Boolean);
    const states = message.history
      .filter(({ flags }) => (flags & MessageFlags.Loading) === 0)
      .map((version) => ({
        lines: discordLines(version).map((line) => this.#readDiscord(line)),
        clips: author.id === bot.id ? version.attachments.map(({ bytes }) => bytes) : [],
      }));
    // Nothing but "is thinking…", and gone again.
    if (states.length === 0) return [];
    const who = [author.username, ...remarks.map((remark) => `(${remark})`)].join(' ');
    return [
      { at: message.history[0]?.at ?? 0, place: `Discord · ${discordPlace(message.channel)}`, who, states },
    ];
  }

  /** As Discord shows it: without what only keeps words from coming alive, and with names for ids. */
  #readDiscord(line: string): string {
    const { users } = this.#discord.world;
    return line
      .replace(/\\([^\w\s])/g, '$1')
      .replace(/<@(\d+)>/g, (whole, id: string) => (users.has(id) ? `@${users.get(id)?.name}` : whole));
  }

  #deed(place: string, who: string, deed: string, interaction: FakeInteraction): Shown {
    const modal = interaction.modal();
    const fields = modal?.inputs.map(({ label, input }) => {
      const value = 'value' in input && input.value ? JSON.stringify(input.value) : '…';
      return `│ ${label} ${value}`;
    });
    const form = modal ? [`┌ ${modal.title}`, ...(fields ?? [])] : [];
    const lines = [
      deed.replaceAll('\\\\', '\\'),
      ...form,
      ...(interaction.failed ? ['⚠ The application did not respond'] : []),
    ];
    return { at: interaction.askedAt, place: `Discord · ${place}`, who, states: [{ lines, clips: [] }] };
  }

  #telegramMessage(message: TelegramMessage): Shown {
    const { replyTo, deleted, authorName, fromBot, chat } = message;
    const isAnswer = replyTo && fromBot;
    const remarks = [
      replyTo && !isAnswer ? `replying to ${replyTo.authorName}` : '',
      deleted ? 'deleted later' : '',
    ].filter(Boolean);
    const states = message.history.map((version) => ({
      lines: telegramLines(version).map((line) => line.replaceAll('\u2060', '')),
      clips: fromBot && version.media ? [version.media.file.bytes] : [],
    }));
    const who = [authorName, ...remarks.map((remark) => `(${remark})`)].join(' ');
    return { at: message.history[0]?.at ?? 0, place: `Telegram · ${telegramPlace(chat)}`, who, states };
  }

  #press({ at, user, label, answers, message }: FakePress): Shown {
    const said = answers
      .filter(({ text }) => text !== '')
      .map(({ text, alert }) => `${alert ? '⚠' : '💬'} ${text.replaceAll('\u2060', '')}`);
    const lines = [`presses [${label}]`, ...said];
    return {
      at,
      place: `Telegram · ${telegramPlace(message.chat)}`,
      who: user.name,
      states: [{ lines, clips: [] }],
    };
  }

  async #show({ place, who, states }: Shown): Promise<void> {
    if (place !== this.#place) {
      this.#write('');
      this.#write(`   ${place}`);
    }
    this.#place = place;
    const [name = '', ...remark] = who.split(' (');
    const head = name.padEnd(indent.length - 1);
    if (remark.length > 0) this.#write(`${head} (${remark.join(' (')}`);
    for (const [n, state] of collapsed(states).entries()) {
      for (const [m, line] of [...state.lines, ...(await this.#save(state))].entries()) {
        const isNamed = n === 0 && m === 0 && remark.length === 0;
        const margin = isNamed ? `${head} ` : m === 0 && n > 0 ? `${indent.slice(2)}↻ ` : indent;
        this.#write(`${margin}${line}`.trimEnd());
      }
    }
  }

  async #save({ clips }: State): Promise<string[]> {
    const lines: string[] = [];
    for (const bytes of clips) {
      const known = this.#saved.get(bytes);
      const file = known ?? join(this.#folder, `${String(this.#saved.size + 1).padStart(2, '0')}.mp4`);
      if (known === undefined) await writeFile(file, bytes);
      this.#saved.set(bytes, file);
      lines.push(`   saved as ${relative(process.cwd(), file) || file}`);
    }
    return lines;
  }
}

/** The first and the last state, and of each kind of change between them the one in the middle, buttons said once. */
function collapsed(states: readonly State[]): readonly State[] {
  const [first, ...rest] = states;
  const last = rest.pop();
  if (!first || !last) return states;
  const kinds = new Map<string, State[]>();
  for (const state of rest) {
    const kind = kindOf(state);
    if (kind !== kindOf(first)) kinds.set(kind, [...(kinds.get(kind) ?? []), state]);
  }
  const between = [...kinds.values()].flatMap((alike) => alike[Math.floor(alike.length / 2)] ?? []);
  let shown: readonly string[] = [];
  return [first, ...between, last].map(({ lines, clips }) => {
    const buttons = lines.filter((line) => line.startsWith('['));
    const isSame = buttons.join() === shown.join();
    shown = buttons;
    return { lines: isSame ? lines.filter((line) => !buttons.includes(line)) : lines, clips };
  });
}

/** Without its numbers, its bar, and the estimate that comes and goes. */
function kindOf({ lines: [line = ''] }: State): string {
  return line
    .replace(/ · .*$/, '')
    .replace(/[\d▰▱]/g, '')
    .trim();
}
