/** The studio page as files: what browsers keep, what they may do with it, and what there is without a build. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebFixture } from '../helpers/web-fixture.ts';

const script = `export const words = "${'zoom '.repeat(1_000)}";`;
let folder: string;
let web: WebFixture;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-page-'));
  await mkdir(join(folder, 'assets'));
  await writeFile(join(folder, 'index.html'), '<!doctype html><title>Kinora</title>');
  await writeFile(join(folder, 'assets', 'main-a1b2c3d4.js'), script);
  await writeFile(join(folder, 'secret.key'), 'hidden');
  await symlink('/etc/passwd', join(folder, 'assets', 'passwd.js'));
  web = await WebFixture.start({ pageFolder: folder });
});
afterAll(async () => {
  await web.stop();
  await rm(folder, { recursive: true });
});

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${web.url}${path}`, { headers });

it.each(['/', '/library', '/library/video-1', '/machine', '/account', '/sign-in'])(
  '%s is the page, for everybody, and asked for again each time',
  async (path) => {
    const response = await get(path);
    expect([response.status, await response.text()]).toEqual([200, '<!doctype html><title>Kinora</title>']);
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(response.headers.get('cache-control')).toBe('no-cache');
    const etag = response.headers.get('etag') ?? '';
    expect((await get(path, { 'if-none-match': etag })).status).toBe(304);
  },
);

it('lets a page do what it needs, and nothing that comes from elsewhere', async () => {
  const { headers } = await get('/');
  expect(headers.get('content-security-policy')).toBe(
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  );
  expect(headers.get('permissions-policy')).toContain('geolocation=()');
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
});

it('hashed files are kept for good, and sent in less', async () => {
  const path = '/assets/main-a1b2c3d4.js';
  const response = await get(path);
  expect(response.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
  expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  expect(response.headers.get('content-encoding')).toBe('gzip');
  expect(await response.text()).toBe(script);
  const plain = await get(path, { 'accept-encoding': 'gzip;q=0' });
  expect(plain.headers.get('content-encoding')).toBeNull();
  expect(await plain.text()).toBe(script);
});

it.each([
  '/secret.key',
  '/assets/passwd.js',
  '/assets/',
  '/assets/gone-00000000.js',
  '/assets/%2e%2e/secret.key',
  '/assets/..%2fsecret.key',
  '/..%5csecret.key',
  '/library/a/b',
])('%s is no file of the page', async (path) => {
  const response = await get(path);
  expect(response.status).toBe(401);
  expect(await response.text()).not.toMatch(/hidden|root:|kinora-page/);
});

it('an address that does not exist is the page for a person, with 404, and a refusal for programs', async () => {
  const accept = 'text/html,application/xhtml+xml,*/*;q=0.8';
  const page = await get('/libary', { accept });
  expect([page.status, await page.text()]).toEqual([404, '<!doctype html><title>Kinora</title>']);
  expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
  expect(page.headers.get('cache-control')).toBe('no-store');
  expect(page.headers.get('etag')).toBeNull();
  expect((await get('/libary', { accept: '*/*' })).status).toBe(401);
  for (const path of ['/v1/videos', '/v1/nothing']) expect((await get(path, { accept })).status).toBe(401);
  expect((await fetch(`${web.url}/libary`, { method: 'POST', headers: { accept } })).status).toBe(401);
});

it('its files are not counted as calls: an office behind one address opens the page as often as it likes', async () => {
  const answers = await Promise.all(Array.from({ length: 320 }, () => get('/assets/main-a1b2c3d4.js')));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  await Promise.all(answers.map((answer) => answer.arrayBuffer()));
});

it('a page that has not been built says how', async () => {
  const bare = await WebFixture.start({ pageFolder: join(folder, 'none') });
  const response = await fetch(`${bare.url}/library`, { headers: { 'accept-language': 'en' } });
  expect([response.status, await response.text()]).toEqual([
    503,
    'The studio page has not been built yet: run "npm run build:page" and start Kinora again.\n',
  ]);
  await bare.stop();
});
