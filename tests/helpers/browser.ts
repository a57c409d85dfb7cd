/** A browser as far as cookies and origins go: keeps what it is given, and says where its calls come from. */
import { SignInLinks } from '../../src/queue/sign-in-links.ts';
import type { WebFixture } from './web-fixture.ts';

type Init = RequestInit & { headers?: Record<string, string> };

export class Browser {
  readonly #web: WebFixture;
  readonly cookies = new Map<string, string>();
  /** Where its page comes from. */
  origin: string;

  constructor(web: WebFixture, origin = web.url) {
    this.#web = web;
    this.origin = origin;
  }

  /** One in which somebody has signed in. */
  static async of(web: WebFixture, userKey: string, scopes: readonly ('use' | 'admin')[] = ['use']) {
    const browser = new Browser(web);
    const links = new SignInLinks(web.redis.connect());
    const response = await browser.signIn(await links.create({ userKey, name: 'Ada', scopes }));
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    return browser;
  }

  async signIn(token: string, name?: string): Promise<Response> {
    return await this.post('/v1/sign-in', { token, ...(name === undefined ? {} : { name }) });
  }

  async post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return await this.call(path, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
  }

  async call(path: string, init: Init = {}): Promise<Response> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const isUnsafe = !['GET', 'HEAD'].includes(init.method ?? 'GET');
    const response = await fetch(`${this.#web.url}${path}`, {
      ...init,
      headers: {
        ...(cookie ? { cookie } : {}),
        ...(isUnsafe ? { origin: this.origin } : {}),
        ...init.headers,
      },
    });
    for (const text of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(text) ?? [];
      if (value === '') this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return response;
  }

  /** What /v1/me tells, or the status of its refusal. */
  async me(): Promise<unknown> {
    const response = await this.call('/v1/me');
    return response.status === 200 ? await response.json() : response.status;
  }
}
