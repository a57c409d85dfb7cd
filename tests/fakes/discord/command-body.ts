/** What Discord accepts as an application command. Source: Discord's reference of application commands. */
import { ApplicationCommandType, ApplicationCommandOptionType as Option } from 'discord.js';
import { z } from 'zod';

const slashName = z
  .string()
  .regex(/^[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}$/u, 'Command name is invalid')
  .refine((name) => name === name.toLowerCase(), 'Command name must be lowercase');
const description = z
  .string()
  .min(1, 'This field is required')
  .max(100, 'Must be between 1 and 100 in length.');
const locale = z.enum(
  'id da de en-GB en-US es-ES es-419 fr hr it lt hu nl no pl pt-BR ro fi sv-SE vi tr cs el bg ru uk hi th zh-CN ja zh-TW ko'.split(
    ' ',
  ),
);
const localized = <Text extends z.ZodType>(value: Text) => z.partialRecord(locale, value).nullish();

const words = {
  name: slashName,
  name_localizations: localized(slashName),
  description,
  description_localizations: localized(description),
};
const choice = z.object({
  name: z.string().min(1).max(100),
  name_localizations: localized(z.string().min(1).max(100)),
  value: z.union([z.string().max(100), z.number()]),
});

const leaf = z
  .object({
    ...words,
    type: z.literal([
      Option.String,
      Option.Integer,
      Option.Boolean,
      Option.User,
      Option.Channel,
      Option.Role,
      Option.Mentionable,
      Option.Number,
      Option.Attachment,
    ]),
    required: z.boolean().optional(),
    choices: z.array(choice).max(25, 'Must be 25 or fewer in length.').optional(),
    min_length: z.number().int().min(0).max(6000).optional(),
    max_length: z.number().int().min(1).max(6000).optional(),
    min_value: z.number().optional(),
    max_value: z.number().optional(),
    autocomplete: z.boolean().optional(),
    channel_types: z.array(z.number().int()).optional(),
    file_types: z.array(z.string()).max(10).optional(),
  })
  .refine(
    ({ autocomplete, choices }) => !(autocomplete && choices?.length),
    'Autocomplete excludes choices.',
  );
export type LeafOption = z.output<typeof leaf>;

type Named = { readonly name: string; readonly required?: boolean | undefined };
const uniqueNames = (options: readonly Named[]): boolean =>
  new Set(options.map(({ name }) => name)).size === options.length;
const requiredFirst = (options: readonly Named[]): boolean =>
  options.findLastIndex(({ required }) => required) < options.filter(({ required }) => required).length;

const leaves = z
  .array(leaf)
  .max(25, 'Must be 25 or fewer in length.')
  .refine(uniqueNames, 'Option names must be unique')
  .refine(requiredFirst, 'Required options must be placed before non-required options');
const subcommand = z.object({ ...words, type: z.literal(Option.Subcommand), options: leaves.optional() });
const subcommandGroup = z.object({
  ...words,
  type: z.literal(Option.SubcommandGroup),
  options: z.array(subcommand).min(1).max(25).refine(uniqueNames, 'Option names must be unique'),
});
const branches = z
  .array(z.discriminatedUnion('type', [subcommand, subcommandGroup]))
  .min(1)
  .max(25)
  .refine(uniqueNames, 'Option names must be unique');
const isBranch = (option: unknown): boolean =>
  z.looseObject({ type: z.literal([Option.Subcommand, Option.SubcommandGroup]) }).safeParse(option).success;

const common = {
  default_member_permissions: z.string().regex(/^\d+$/).nullish(),
  nsfw: z.boolean().optional(),
  contexts: z.array(z.literal([0, 1, 2])).nullish(),
  integration_types: z
    .array(z.literal([0, 1]))
    .min(1)
    .nullish(),
  dm_permission: z.boolean().nullish(),
};
const chatInput = z.object({
  ...common,
  ...words,
  type: z.literal(ApplicationCommandType.ChatInput).default(ApplicationCommandType.ChatInput),
  options: z
    .array(z.unknown())
    .default([])
    .transform((options, context) => {
      const schema = options.some(isBranch) ? branches : leaves;
      const parsed = schema.safeParse(options);
      if (parsed.success) return parsed.data;
      for (const { path, message } of parsed.error.issues)
        context.addIssue({ code: 'custom', path, message });
      return z.NEVER;
    }),
});
const contextMenu = z.object({
  ...common,
  name: z.string().min(1).max(32, 'Must be between 1 and 32 in length.'),
  name_localizations: localized(z.string().min(1).max(32)),
  description: z.literal('', 'Context menu commands have no description').optional(),
  type: z.literal([ApplicationCommandType.User, ApplicationCommandType.Message]),
  options: z
    .array(z.never())
    .max(0, 'Context menu commands cannot have options')
    .default(() => []),
});

export const commandBody = z
  .union([contextMenu, chatInput], { error: 'Neither a valid chat input command nor a context menu command' })
  .superRefine((command, context) => {
    const { name, type, options } = command;
    if (commandCharacters({ name, description: command.description ?? '', options }) > 8000)
      context.addIssue({ code: 'custom', path: ['options'], message: 'Command exceeds 8000 characters' });
    if (type === ApplicationCommandType.ChatInput && !command.description)
      context.addIssue({ code: 'custom', path: ['description'], message: 'This field is required' });
  });
export type CommandBody = z.output<typeof commandBody>;

interface Wordy {
  readonly name: string;
  readonly description: string;
  readonly options?: readonly Wordy[] | undefined;
  readonly choices?: readonly { readonly name: string; readonly value: string | number }[] | undefined;
}

/** Names, descriptions and choices together may not exceed 8000. */
function commandCharacters({ name, description, options = [], choices = [] }: Wordy): number {
  const own = name.length + description.length;
  const inChoices = choices.map((choice) => choice.name.length + String(choice.value).length);
  return [own, ...inChoices, ...options.map(commandCharacters)].reduce((sum, length) => sum + length, 0);
}
