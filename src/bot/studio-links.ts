/** "/web": the link with which a person of a chat signs in on the studio page. Knows no platform. */
import type { Logger } from '../log.ts';
import { linkMs, type SignInLinks, signInAddress } from '../queue/sign-in-links.ts';
import type { Person } from './people.ts';
import { failedOrUnavailable, type Refused } from './refusals.ts';
import { withoutDirectionControls } from './sentences/directions.ts';

export type StudioLink =
  | { readonly kind: 'link'; readonly url: string; readonly minutes: number }
  /** Nobody has said under which address people reach the page. */
  | { readonly kind: 'noAddress'; readonly isAdmin: boolean };

export class StudioLinks {
  readonly #links: SignInLinks;
  readonly #publicUrl: string | undefined;
  readonly #log: Logger;

  /** @param publicUrl of KINORA_PUBLIC_URL */
  constructor(links: SignInLinks, publicUrl: string | undefined, log: Logger) {
    this.#links = links;
    this.#publicUrl = publicUrl;
    this.#log = log;
  }

  /**
   * To be shown to the person alone: whoever opens it is that person.
   * @param name as the chat shows it
   */
  async linkFor({ userKey, isAdmin, locale }: Person, name: string): Promise<StudioLink | Refused> {
    if (this.#publicUrl === undefined) return { kind: 'noAddress', isAdmin };
    const shown = withoutDirectionControls(name)
      .replace(/\p{Cc}/gu, '')
      .trim();
    try {
      // What an admin may do is asked for at each call; nothing of it is in the link.
      const wanted = { userKey, locale, scopes: ['use'], ...(shown ? { name: shown } : {}) } as const;
      const token = await this.#links.create(wanted);
      return { kind: 'link', url: signInAddress(this.#publicUrl, token), minutes: linkMs / 60_000 };
    } catch (error) {
      return failedOrUnavailable(error, this.#log);
    }
  }
}
