/** The form of a remix: what can be changed of an earlier video, filled in as it was. */
import {
  type APIModalInteractionResponseCallbackData,
  ComponentType,
  type ModalSubmitInteraction,
  TextInputStyle,
} from 'discord.js';
import type { PackManifest } from '../../inference/packs/manifest.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { heedsMotion } from '../../request/model-limits.ts';
import { motions } from '../../request/presets.ts';
import type { Messages } from '../sentences/catalogue.ts';
import type { Offered } from '../sentences/en.ts';
import { maxPromptLength } from './command-definitions.ts';

/** The most that Discord takes into a field, and offers to choose from. */
const maxField = 4_000;
const mostChoices = 25;
const longestChoice = 100;

type Fields = APIModalInteractionResponseCallbackData['components'];

/** @param model of the video, where it is known */
export function remixForm(
  { request: { generation }, model: ownModel }: LedgerEntry,
  offered: Offered,
  model: PackManifest | undefined,
  { discord, settings }: Messages,
): Fields {
  const { prompt, negativePrompt = '', seed, motion } = generation;
  const { Paragraph, Short } = TextInputStyle;
  const { labels } = settings;
  const ids = (offered.model ?? []).slice(0, mostChoices);
  return [
    ...(offered.prompt ? [text('prompt', discord.prompt, prompt, Paragraph, maxPromptLength)] : []),
    ...(offered.negative
      ? [text('negative', discord.negative, negativePrompt, Paragraph, maxPromptLength)]
      : []),
    ...(!model || heedsMotion(model)
      ? [
          choice(
            'motion',
            labels.motion,
            motion,
            motions.map((value) => ({ value, label: value })),
          ),
        ]
      : []),
    ...(ids.length > 0
      ? [
          choice(
            'model',
            labels.model,
            ownModel,
            ids.map(({ id, title }) => ({
              value: id,
              label: title.slice(0, longestChoice),
            })),
          ),
        ]
      : []),
    text('seed', labels.seed, String(seed), Short, 16),
  ];
}

function text(id: string, label: string, value: string, style: TextInputStyle, max: number): Fields[number] {
  return {
    type: ComponentType.Label,
    label,
    component: {
      type: ComponentType.TextInput,
      custom_id: id,
      style,
      required: false,
      max_length: Math.min(Math.max(max, value.length), maxField),
      ...(value === '' ? {} : { value }),
    },
  };
}

function choice(
  id: string,
  label: string,
  chosen: string | undefined,
  options: readonly { readonly value: string; readonly label: string }[],
): Fields[number] {
  return {
    type: ComponentType.Label,
    label,
    component: {
      type: ComponentType.StringSelect,
      custom_id: id,
      required: false,
      options: options.map((option) => ({ ...option, default: option.value === chosen })),
    },
  };
}

/** What a filled-in form changes, by the words of the options. A field that it did not have changes nothing. */
export function changesIn(
  { fields }: ModalSubmitInteraction,
  { request: { generation }, model }: LedgerEntry,
): Readonly<Record<string, unknown>> {
  const textOf = (name: string): string | undefined =>
    fields.fields.has(name) ? fields.getTextInputValue(name) : undefined;
  const chosen = (name: string, before: string | undefined): string | undefined => {
    const [value] = fields.fields.has(name) ? fields.getStringSelectValues(name) : [];
    return value === before ? undefined : value;
  };
  const seed = textOf('seed')?.trim() ?? '';
  return {
    prompt: textOf('prompt'),
    negative: textOf('negative'),
    motion: chosen('motion', generation.motion),
    model: chosen('model', model),
    ...(seed === '' ? {} : { seed: /^\d+$/.test(seed) ? Number(seed) : seed }),
  };
}
