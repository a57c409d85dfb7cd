/** Users, roles and channels as mentions, which Discord shows by their names. Nobody is notified. */
import type { Named, Names } from '../sentences/names.ts';
import { contentOf, inert } from './rendering.ts';

const signs = { user: '@', role: '@&', channel: '#' } as const;

function mentionOf({ kind, key }: Named): string | undefined {
  const [, id] = /^discord:(\d{17,20})$/.exec(key) ?? [];
  return id === undefined || kind === 'community' ? undefined : `<${signs[kind]}${id}>`;
}

/**
 * @param render makes the sentence with the given names
 * @returns the content of a message in which everything but these mentions is escaped
 */
export function contentWithNames(render: (names: Names) => string): string {
  const mentions = new Set<string>();
  const text = render((named, written) => {
    const mention = mentionOf(named);
    if (mention === undefined) return written;
    mentions.add(mention);
    return mention;
  });
  let content = contentOf(text);
  for (const mention of mentions) content = content.replaceAll(inert(mention), mention);
  return content;
}
