/** What a person fills into a modal, checked as the person's client checks it before it sends anything. */
import { ComponentType } from 'discord.js';
import type { FakeFile } from './files.ts';
import type { FakeModal } from './interaction.ts';
import type { ModalInput } from './modal-body.ts';

export type FieldValue = string | readonly string[] | FakeFile | readonly FakeFile[];

export interface FilledModal {
  readonly components: readonly object[];
  /** Uploaded files, by their ids. */
  readonly attachments: Readonly<Record<string, object>>;
  /** As the person typed it. */
  readonly text: string;
}

/**
 * A field that is not given keeps what the bot filled in.
 * @throws when the client would not let it through
 */
export function fillModal(
  { inputs, parts, interaction }: FakeModal,
  fields: Readonly<Record<string, FieldValue>>,
): FilledModal {
  const known = inputs.map(({ input }) => input.custom_id);
  const unknown = Object.keys(fields).find((id) => !known.includes(id));
  if (unknown !== undefined)
    throw new Error(`The modal has no field "${unknown}"; it has ${known.join(', ')}.`);
  const attachments: Record<string, object> = {};
  const { channel } = interaction.asked;
  const upload = (file: FakeFile): string => {
    const stored = channel.world.files.store(file, { channelId: channel.id, ephemeral: true });
    attachments[stored.id] = channel.world.files.attachment(stored);
    return stored.id;
  };
  const answer = (input: ModalInput): object => fill(input, fields[input.custom_id], upload);
  const components = parts.map((part) => {
    if ('component' in part) return { type: part.type, id: 0, component: answer(part.component) };
    if ('components' in part) return { type: part.type, id: 0, components: part.components.map(answer) };
    return { type: part.type, id: 0 };
  });
  const words = Object.entries(fields).map(([id, value]) => `${id}:${shown(value)}`);
  return { components, attachments, text: words.join(' ') };
}

function fill(input: ModalInput, given: FieldValue | undefined, upload: (file: FakeFile) => string): object {
  const { type, custom_id, required = true } = input;
  const refuse = (rule: string): never => {
    throw new Error(`The field "${custom_id}" ${rule}.`);
  };
  const list: readonly (string | FakeFile)[] = given === undefined ? [] : [given].flat();
  if (type === ComponentType.TextInput) {
    const value = list[0] ?? input.value ?? '';
    if (typeof value !== 'string' || list.length > 1) return refuse('takes one text');
    if (!value && required) refuse('is required');
    const { min_length = 0, max_length = 4000 } = input;
    if (value && (value.length < min_length || value.length > max_length))
      refuse(`takes ${min_length} to ${max_length} characters`);
    return { type, id: 0, custom_id, value };
  }
  const preset = type === ComponentType.StringSelect ? input.options.filter((option) => option.default) : [];
  const chosen = given === undefined ? preset.map(({ value }) => value) : list;
  if (chosen.length === 0 && required) refuse('is required');
  if (type === ComponentType.StringSelect) {
    if (!chosen.every((value) => input.options.some((option) => option.value === value)))
      refuse(`takes ${input.options.map(({ value }) => value).join(', ')}`);
    return { type, id: 0, custom_id, values: chosen };
  }
  const values = chosen.map((file) => (typeof file === 'string' ? refuse('takes files') : upload(file)));
  return { type, id: 0, custom_id, values };
}

function shown(value: FieldValue): string {
  const list: readonly (string | FakeFile)[] = [value].flat();
  return list.map((each) => (typeof each === 'string' ? JSON.stringify(each) : each.name)).join(',');
}
