/** The body of a message as Discord accepts it. Source: Discord's reference of messages. */
import { z } from 'zod';
import { filled, flatten, media, text, topLevel } from './components.ts';

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
