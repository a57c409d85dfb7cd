/** What admins do over the API: the same as in a chat, with the same trail, and for nobody else. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { errorSchema } from '../../src/web/problem.ts';
import { eventually, timedGenerator } from '../helpers/queue-harness.ts';
import { WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let web: WebFixture;
let root: WebPerson;
let ann: WebPerson;
beforeAll(async () => {
  web = await WebFixture.start();
  root = await web.person('discord:1', ['use', 'admin']);
  ann = await web.person('discord:8035');
});
afterAll(() => web.stop());

const send = async (method: string, path: string, body?: unknown): Promise<Response> =>
  await root.call(`/v1/admin/${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
const answer = async (method: string, path: string, body?: unknown): Promise<unknown> => {
  const response = await send(method, path, body);
  expect(response.status).toBe(200);
  return await response.json();
};
async function refusal(response: Response): Promise<[number, string, string | null]> {
  const { error } = errorSchema.parse(await response.json());
  return [response.status, error.code, error.param];
}

it('only a key with the scope may', async () => {
  for (const [method, path] of [
    ['GET', 'stats'],
    ['GET', 'workers'],
    ['GET', 'audit'],
    ['GET', 'queue'],
    ['GET', 'log'],
    ['GET', 'quotas'],
    ['GET', 'weights'],
    ['PUT', 'weights/user:discord:8035'],
    ['GET', 'rules'],
    ['GET', 'rules/discord:77'],
    ['POST', 'quotas/user:discord:8035/reset'],
    ['GET', 'bans'],
    ['GET', 'quotas/user:discord:8035'],
    ['DELETE', 'quotas/user:discord:8035'],
    ['DELETE', 'bans/user:discord:8035'],
    ['POST', 'videos/video-000000000000000000000000/cancel'],
  ]) {
    const response = await ann.call(`/v1/admin/${path}`, { method: method ?? '' });
    expect(await refusal(response)).toEqual([403, 'missing_scope', null]);
  }
});

it('sets, shows and clears credits, and gives extra ones', async () => {
  const target = 'user:discord:8035';
  const none = { target, per_day: 100_000, used: 0, granted: 0 };
  expect(await answer('GET', `quotas/${target}`)).toEqual(none);
  expect(await answer('PUT', `quotas/${target}`, { per_day: 3, reason: 'test' })).toEqual({
    ...none,
    per_day: 3,
  });
  expect(await answer('POST', 'grants', { user: 'discord:8035', credits: 2 })).toEqual({
    user: 'discord:8035',
    granted: 2,
  });
  expect(await answer('DELETE', `quotas/${target}`)).toEqual({ changed: true });
  expect(await answer('DELETE', `quotas/${target}`)).toEqual({ changed: false });
  expect(await answer('GET', 'quotas/role:discord:9')).toEqual({
    target: 'role:discord:9',
    per_day: null,
    used: null,
    granted: null,
  });
  expect(await refusal(await send('GET', 'quotas/discord:8035'))).toEqual([400, 'INVALID_OPTION', 'target']);
  expect(await refusal(await send('PUT', `quotas/${target}`, { per_day: -1 }))).toEqual([
    400,
    'bad_request',
    'per_day',
  ]);
});

it('bans and lets in again, and what was asked for meanwhile is refused with the reason', async () => {
  const target = 'user:discord:8035';
  expect(await answer('PUT', `bans/${target}`, { reason: 'spam' })).toEqual({ target, until: null });
  expect(await answer('GET', 'bans')).toEqual({
    data: [{ target, name: null, until: null, reason: 'spam', by: 'discord:1' }],
    page: 1,
    pages: 1,
  });
  const refused = await ann.post();
  expect(refused.status).toBe(403);
  expect(errorSchema.parse(await refused.json()).error).toMatchObject({
    code: 'banned',
    message: expect.stringMatching(/spam/),
  });
  const timed = (await answer('PUT', `bans/${target}`, { hours: 2 })) as { until: string };
  expect(Date.parse(timed.until) - Date.now()).toBeGreaterThan(3_600_000);
  expect(await refusal(await send('PUT', 'bans/role:discord:9', {}))).toEqual([
    400,
    'INVALID_OPTION',
    'target',
  ]);
  expect(await answer('DELETE', `bans/${target}`)).toEqual({ changed: true });
  expect((await ann.post()).status).toBe(200);
});

it('pauses, drains and goes on', async () => {
  for (const mode of ['paused', 'draining']) {
    expect(await answer('PUT', 'mode', { mode, reason: 'works' })).toEqual({ changed: true });
    expect(await refusal(await ann.post())).toEqual([503, mode, null]);
    expect((await root.call('/ready')).status).toBe(503);
  }
  expect(await answer('PUT', 'mode', { mode: 'running' })).toEqual({ changed: true });
  expect(await answer('PUT', 'mode', { mode: 'running' })).toEqual({ changed: false });
});

it("sees the queue with its owners and workers, and cancels anybody's video", async () => {
  const worker = await web.worker(timedGenerator(20_000));
  const { id } = await ann.create();
  const stats = await answer('GET', 'stats');
  expect(stats).toMatchObject({ mode: 'running', workers: { alive: 1 } });
  expect((stats as { videos: unknown[] }).videos).toContainEqual(
    expect.objectContaining({ id, user: 'discord:8035', preset: 'standard' }),
  );
  expect(await answer('GET', 'workers')).toMatchObject({
    data: [{ id: worker.id, device: 'cpu', alive: true }],
  });
  // Still another person's, for all but administration.
  expect(await refusal(await root.call(`/v1/videos/${id}`))).toEqual([404, 'video_not_found', null]);
  expect(await answer('POST', `videos/${id}/cancel`)).toEqual({ id, cancelling: true });
  await eventually('the end', async () => (await ann.video(id)).error?.code === 'CANCELLED');
  expect(await refusal(await send('POST', `videos/${id}/cancel`))).toEqual([409, 'video_finished', null]);
  expect(await refusal(await send('POST', 'videos/video-0/cancel'))).toEqual([404, 'video_not_found', null]);

  const { data } = (await answer('GET', 'audit?limit=25')) as { data: { action: string; by: string }[] };
  const actions = data.map(({ action }) => action);
  expect(actions[0]).toBe('cancel');
  for (const action of ['ban', 'unban', 'credits', 'clear-credits', 'grant', 'pause', 'drain', 'resume']) {
    expect(actions).toContain(action);
  }
  expect(new Set(data.map(({ by }) => by))).toEqual(new Set(['discord:1']));
});
