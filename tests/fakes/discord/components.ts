/**
 * Buttons, menus and the other components of messages, as Discord accepts them: lengths, counts and combinations where
 * mistakes are likely. Fields that it would ignore are dropped. Source: Discord's reference of components.
 */
import { type APIAttachment, ButtonStyle, ComponentType as Type } from 'discord.js';
import { z } from 'zod';

export const text = (max: number) => z.string().max(max, `Must be ${max} or fewer in length.`);
export const filled = (max: number) => text(max).min(1, 'This field is required');
export const customId = filled(100);
export const componentId = z.number().int().optional();
const emoji = z.object({ id: z.string().nullish(), name: z.string().nullish() });
export const media = z.object({
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
export const stringSelect = z.object({
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

export const textDisplay = z.object({
  type: z.literal(Type.TextDisplay),
  id: componentId,
  content: filled(4000),
});
const thumbnail = z.object({
  type: z.literal(Type.Thumbnail),
  id: componentId,
  media,
  spoiler: z.boolean().optional(),
});
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
export const topLevel = z.discriminatedUnion('type', [
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

type Media = z.output<typeof media>;

/** Every media item of a message. */
export function mediaOf(components: readonly Component[]): Media[] {
  return flatten(components).flatMap((part) => {
    if ('items' in part) return part.items.map((item) => item.media);
    if ('file' in part) return [part.file];
    return 'media' in part ? [part.media] : [];
  });
}

/** A component as Discord gives it out: uploaded files have the links of attachments, other media its proxy's. */
export function resolved<Part extends Component>(
  component: Part,
  attachments: readonly APIAttachment[],
): Part {
  const unfurled = (item: Media): object => {
    const file = attachments.find(({ filename }) => item.url === `attachment://${filename}`);
    return file
      ? { url: file.url, proxy_url: file.url, content_type: file.content_type, attachment_id: file.id }
      : {
          ...item,
          proxy_url: `https://images-ext-1.discordapp.net/external/x/${encodeURIComponent(item.url)}`,
        };
  };
  const isMedia = (key: string): boolean => key === 'media' || key === 'file';
  const inside = (value: unknown, key = ''): unknown => {
    if (Array.isArray(value)) return value.map((each) => inside(each));
    if (typeof value !== 'object' || value === null) return value;
    if (isMedia(key)) return unfurled(media.parse(value));
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, inside(each, name)]));
  };
  // The shape stays; only media gain fields.
  return inside(component) as Part;
}
