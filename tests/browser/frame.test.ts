/** The frame of these tests itself: what its guard sees, and a page of the server that is there without the studio. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach } from 'vitest';
import { Guard } from './guard.ts';
import { expect, test } from './studio.ts';

let servers: Server[] = [];
afterEach(() => {
  for (const server of servers) server.close();
  servers = [];
});

async function serve(html: string): Promise<string> {
  const server = createServer((request, response) => {
    const policy = "default-src 'self'; connect-src *";
    response
      .writeHead(request.url === '/' ? 200 : 404, {
        'content-type': 'text/html',
        'content-security-policy': policy,
      })
      .end(request.url === '/' ? html : '');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
}

test('the guard tells of refused scripts, missing files and other hosts', async ({ browser }) => {
  const other = await serve('');
  const body = `<img src="/missing.png" alt=""><link rel="stylesheet" href="${other}"><script>1</script>`;
  const origin = await serve(`<!doctype html><html lang="en"><title>Page</title>${body}</html>`);
  const context = await browser.newContext();
  const guard = new Guard(context, origin);
  const page = await context.newPage();
  await page.goto(origin);
  await page.evaluate(`fetch('${other}').catch(() => {})`);
  await page.evaluate('setTimeout(() => { throw new Error("thrown") })');
  const told = [
    /Executing inline script violates the following Content Security Policy/,
    /status of 404/,
    /style.*Content Security Policy/i,
    /request to another host/,
    /uncaught: Error: thrown/,
  ];
  for (const fault of told) await expect.poll(() => guard.faults.join('\n')).toMatch(fault);
  for (const fault of [...told, /CORS/, /request failed/, /Failed to load resource/]) guard.allow(fault);
  expect(guard.faults).toEqual([]);
  await context.close();
});

test('axe runs under a Content Security Policy, and names what is wrong', async ({ studio }) => {
  const page = await studio.open('/docs');
  await page.getByText('/v1/videos', { exact: true }).first().waitFor();
  await page.evaluate('document.title = ""');
  expect((await studio.violations(page)).join('\n')).toMatch(/^document-title: /m);
});

test('the document of the API is shown without anything from elsewhere', async ({ studio }) => {
  const page = await studio.open('/docs', { screen: 'wide' });
  await page.getByText('/v1/videos', { exact: true }).first().waitFor();
});
