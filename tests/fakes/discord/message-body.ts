/**
 * What Discord accepts in the body of a message or a modal: lengths, counts and combinations where mistakes are
 * likely. Fields that it would ignore are dropped. Source: Discord's reference of messages and components.
 */
import { ButtonStyle, ComponentType as Type } from 'discord.js';
import { z } from 'zod';

const text = (max: number) => z.string().max(max, `Must be ${max} or fewer in length.`);
const filled = (max: number) => text(max).min(1, 'This field is required');
const customId = filled(100);
const componentId = z.number().int().optional();
const emoji = z.object({ id: z.string().nullish(), name: z.string().nullish() });
const media = z.object({
  url: z.string().regex(/^(https?|attachment):\/\//, 'Scheme must be http, https or attachment.'),
});

const button = z
  .object({
    type: z.literal(Type.Button),
    id: componentId,
    style: z.enum(ButtonStyle),
    custom_id: customId.optional(),
    url: text(512).optional(),
    label: text(80).optional(),
    emoji: emoji.optional(),
    disabled: z.boolean().optional(),
  })
  .refine(
    ({ style, url, custom_id }) => style !== ButtonStyle.Link || (url && !custom_id),
    'A link button has a url and no custom_id.',
  )
  .refine(
    ({ style, url, custom_id }) => style >= ButtonStyle.Link || (custom_id && !url),
    'A custom id is required.',
  )
  .refine(({ label, emoji }) => label || emoji, 'A button needs a label or an emoji.');

const selectOption = z.object({
  label: filled(100),
  value: filled(100),
  description: text(100).optional(),
  default: z.boolean().optional(),
});
const stringSelect = z.object({
  type: z.literal(Type.StringSelect),
  id: componentId,
  custom_id: customId,
  options: z.array(selectOption).min(1).max(25, 'Must be 25 or fewer in length.'),
  placeholder: text(150).optional(),
  min_values: z.number().int().min(0).max(25).optional(),
  max_values: z.number().int().min(1).max(25).optional(),
  required: z.boolean().optional(),
  disabled: z.boolean().optional(),
});
const otherSelect = z.object({
  type: z.literal([Type.UserSelect, Type.RoleSelect, Type.MentionableSelect, Type.ChannelSelect]),
  id: componentId,
  custom_id: customId,
  placeholder: text(150).optional(),
  min_values: z.number().int().min(0).max(25).optional(),
  max_values: z.number().int().min(1).max(25).optional(),
  disabled: z.boolean().optional(),
});
const actionRow = z
  .object({
    type: z.literal(Type.ActionRow),
    id: componentId,
    components: z
      .array(z.discriminatedUnion('type', [button, stringSelect, otherSelect]))
      .min(1, 'Must be between 1 and 5 in length.')
      .max(5, 'Must be between 1 and 5 in length.'),
  })
  .refine(
    ({ components }) => components.length === 1 || components.every(({ type }) => type === Type.Button),
    'A select menu fills its row.',
  );

const textDisplay = z.object({ type: z.literal(Type.TextDisplay), id: componentId, content: filled(4000) });
const thumbnail = z.object({ type: z.literal(Type.Thumbnail), id: componentId, media });
const section = z.object({
  type: z.literal(Type.Section),
  id: componentId,
  components: z.array(textDisplay).min(1).max(3),
  accessory: z.discriminatedUnion('type', [thumbnail, button]),
});
const mediaItem = z.object({ media, description: text(1024).nullish(), spoiler: z.boolean().optional() });
const mediaGallery = z.object({
  type: z.literal(Type.MediaGallery),
  id: componentId,
  items: z.array(mediaItem).min(1).max(10),
});
const file = z.object({
  type: z.literal(Type.File),
  id: componentId,
  file: media,
  spoiler: z.boolean().optional(),
});
const separator = z.object({
  type: z.literal(Type.Separator),
  id: componentId,
  divider: z.boolean().optional(),
  spacing: z.number().int().min(1).max(2).optional(),
});
const container = z.object({
  type: z.literal(Type.Container),
  id: componentId,
  components: z
    .array(z.discriminatedUnion('type', [actionRow, textDisplay, section, mediaGallery, file, separator]))
    .min(1),
  accent_color: z.number().int().min(0).max(0xffffff).nullish(),
  spoiler: z.boolean().optional(),
});
const topLevel = z.discriminatedUnion('type', [
  actionRow,
  textDisplay,
  section,
  mediaGallery,
  file,
  separator,
  container,
]);
export type TopLevelComponent = z.output<typeof topLevel>;
export type InnerComponent = z.output<
  typeof button | typeof stringSelect | typeof otherSelect | typeof thumbnail
>;
export type Component = TopLevelComponent | InnerComponent;

/** Every component of a message, outer before inner. */
export function flatten(components: readonly Component[]): Component[] {
  return components.flatMap((component): Component[] => [
    component,
    ...('components' in component ? flatten(component.components) : []),
    ...('accessory' in component ? [component.accessory] : []),
  ]);
}

const embed = z.object({
  type: z.string().optional(),
  title: text(256).optional(),
  description: text(4096).optional(),
  url: z.string().optional(),
  timestamp: z.string().optional(),
  color: z.number().int().min(0).max(0xffffff).optional(),
  footer: z.object({ text: filled(2048), icon_url: z.string().optional() }).optional(),
  image: media.optional(),
  thumbnail: media.optional(),
  author: z
    .object({ name: filled(256), url: z.string().optional(), icon_url: z.string().optional() })
    .optional(),
  fields: z
    .array(z.object({ name: filled(256), value: filled(1024), inline: z.boolean().optional() }))
    .max(25, 'Must be 25 or fewer in length.')
    .optional(),
});
export type Embed = z.output<typeof embed>;

function embedLength({ title = '', description = '', footer, author, fields = [] }: Embed): number {
  const parts = [title, description, footer?.text ?? '', author?.name ?? ''];
  return [...parts, ...fields.flatMap(({ name, value }) => [name, value])].join('').length;
}

const allowedMentions = z
  .object({
    parse: z.array(z.enum(['users', 'roles', 'everyone'])).optional(),
    users: z.array(z.string().regex(/^\d+$/)).max(100).optional(),
    roles: z.array(z.string().regex(/^\d+$/)).max(100).optional(),
    replied_user: z.boolean().optional(),
  })
  .refine(
    ({ parse, users }) => !(parse?.includes('users') && users?.length),
    'parse:["users"] and users: [ids...] are mutually exclusive.',
  )
  .refine(
    ({ parse, roles }) => !(parse?.includes('roles') && roles?.length),
    'parse:["roles"] and roles: [ids...] are mutually exclusive.',
  );
export type AllowedMentions = z.output<typeof allowedMentions>;

const messageReference = z.object({
  message_id: z.string().optional(),
  channel_id: z.string().optional(),
  guild_id: z.string().optional(),
  fail_if_not_exists: z.boolean().optional(),
});

export const messageBody = z
  .object({
    content: text(2000).nullish(),
    embeds: z.array(embed).max(10, 'Must be 10 or fewer in length.').nullish(),
    components: z.array(topLevel).nullish(),
    attachments: z
      .array(
        z.object({
          id: z.union([z.string(), z.number()]).transform(String),
          filename: text(1024).optional(),
          description: text(1024).nullish(),
        }),
      )
      .max(10, 'Must be 10 or fewer in length.')
      .nullish(),
    flags: z.number().int().nullish(),
    allowed_mentions: allowedMentions.nullish(),
    nonce: z.union([text(25), z.number().int()]).nullish(),
    enforce_nonce: z.boolean().optional(),
    message_reference: messageReference.nullish(),
  })
  .superRefine(({ components, embeds }, context) => {
    const complain = (path: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [path], message });
    };
    const ids = flatten(components ?? []).flatMap((part) =>
      'custom_id' in part ? (part.custom_id ?? []) : [],
    );
    if (new Set(ids).size < ids.length) complain('components', 'Component custom id cannot be duplicated');
    if ((embeds ?? []).map(embedLength).reduce((sum, length) => sum + length, 0) > 6000)
      complain('embeds', 'Embed size exceeds maximum size of 6000');
  });
export type MessageBody = z.output<typeof messageBody>;

const textInput = z.object({
  type: z.literal(Type.TextInput),
  id: componentId,
  custom_id: customId,
  style: z.literal([1, 2]),
  label: filled(45).optional(),
  min_length: z.number().int().min(0).max(4000).optional(),
  max_length: z.number().int().min(1).max(4000).optional(),
  required: z.boolean().optional(),
  value: text(4000).optional(),
  placeholder: text(100).optional(),
});
const fileUpload = z.object({
  type: z.literal(Type.FileUpload),
  id: componentId,
  custom_id: customId,
  min_values: z.number().int().min(0).max(10).optional(),
  max_values: z.number().int().min(1).max(10).optional(),
  required: z.boolean().optional(),
});
const label = z.object({
  type: z.literal(Type.Label),
  id: componentId,
  label: filled(45),
  description: text(100).optional(),
  component: z.discriminatedUnion('type', [
    textInput.refine(
      ({ label }) => label === undefined,
      'In a Label, the text input has no label of its own.',
    ),
    stringSelect,
    fileUpload,
  ]),
});
const modalRow = z.object({
  type: z.literal(Type.ActionRow),
  id: componentId,
  components: z.array(textInput.refine(({ label }) => label, 'This field is required')).length(1),
});

/** Of the inputs of a modal, the fake knows text inputs, string selects and file uploads. */
export const modalBody = z
  .object({
    custom_id: customId,
    title: filled(45),
    components: z
      .array(z.discriminatedUnion('type', [modalRow, label, textDisplay]))
      .min(1, 'Must be between 1 and 5 in length.')
      .max(5, 'Must be between 1 and 5 in length.'),
  })
  .superRefine(({ components }, context) => {
    const ids = components.flatMap(modalInputs).map(({ input }) => input.custom_id);
    if (new Set(ids).size < ids.length)
      context.addIssue({
        code: 'custom',
        path: ['components'],
        message: 'Component custom id cannot be duplicated',
      });
  });
export type ModalBody = z.output<typeof modalBody>;
export type ModalInput = z.output<typeof textInput | typeof stringSelect | typeof fileUpload>;

/** The inputs of one part of a modal, with the words beside them. */
export function modalInputs(part: ModalBody['components'][number]): { label: string; input: ModalInput }[] {
  if ('component' in part) return [{ label: part.label, input: part.component }];
  if ('components' in part) return part.components.map((input) => ({ label: input.label ?? '', input }));
  return [];
}

export const autocompleteBody = z.object({
  choices: z
    .array(z.object({ name: filled(100), value: z.union([text(100), z.number()]) }))
    .max(25, 'Must be 25 or fewer in length.'),
});
export type Choice = z.output<typeof autocompleteBody>['choices'][number];
