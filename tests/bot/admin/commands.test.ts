import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AdminTools, runAdminWords } from '../../../src/bot/admin/commands.ts';
import { en } from '../../../src/bot/sentences/en.ts';
import { zh } from '../../../src/bot/sentences/zh.ts';
import type { JobClient } from '../../../src/queue/client.ts';
import { adminTools } from '../../helpers/admin-tools.ts';
import { Harness, openTerms } from '../../helpers/queue-harness.ts';

const root = 'discord:1';
let harness: Harness;
let client: JobClient;
let admin: AdminTools;
const terms = { ...openTerms, limits: { ...openTerms.limits, credits: 5 } };

beforeAll(async () => {
  harness = await Harness.start();
  client = harness.client(terms);
  admin = adminTools(harness.server.failFast(), client, terms);
});
afterAll(async () => {
  await admin.mode.close();
  await harness.stop();
});

const say = async (words: string, messages = en): Promise<string> =>
  await runAdminWords(admin, root, words.split(' '), messages);
const refused = (message: RegExp): Error =>
  expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringMatching(message) });

describe('quota', () => {
  it('is shown, set, granted and reset for a user', async () => {
    expect(await say('quota show discord:8035')).toBe(
      'discord:8035: 0 of 5 credits used today (limit by default), 0 extra, 5 left.',
    );
    expect(await say('quota set discord:8035 20 good friend')).toBe('user:discord:8035: 20 credits a day.');
    expect(await say('quota grant user:discord:8035 7')).toBe('discord:8035 now has 7 extra credits.');
    expect(await say('quota grant 8035 -3')).toBe('discord:8035 now has 4 extra credits.');
    await client.submit(await harness.request('a', 'discord:8035'));
    expect(await say('QUOTA Show 8035')).toBe(
      'discord:8035: 1 of 20 credits used today (limit by user), 4 extra, 23 left.',
    );
    expect(await say('quota reset discord:8035 sorry')).toBe(en.admin.done);
    expect(await say('quota reset discord:8035')).toBe(en.admin.unchanged);
    expect(await say('quota set discord:8035 default')).toBe(en.admin.done);
    expect((await admin.quotas.quotaOf('discord:8035')).limit).toBe(5);
  });

  it('is set and shown for roles and communities', async () => {
    expect(await say('quota show role:discord:77')).toBe('role:discord:77: no limit of its own.');
    expect(await say('quota set role:77 9')).toBe('role:discord:77: 9 credits a day.');
    expect(await say('quota show role:discord:77')).toBe('role:discord:77: 9 credits a day.');
    expect(await say('quota set community:telegram:-1001 3')).toBe(
      'community:telegram:-1001: 3 credits a day.',
    );
    expect(await say('quota reset community:telegram:-1001')).toBe(en.admin.done);
    expect(await admin.quotas.creditsOf({ kind: 'community', key: 'telegram:-1001' })).toBeUndefined();
    expect(await say('quota grant role:discord:77 3')).toBe(en.admin.onlyUsers);
  });

  it('that is not understood is answered with the usage, wrong values with the range', async () => {
    for (const words of [
      'quota',
      'quota steal discord:1',
      'quota set',
      'quota set discord:1',
      'quota grant 5',
    ]) {
      expect(await say(words)).toContain(en.admin.usage);
    }
    expect(await say('quota constructor discord:1')).toContain(en.admin.usage);
    await expect(say('quota set discord:1 many')).rejects.toThrow(refused(/"many" is not a number/));
    await expect(say('quota set discord:1 -1')).rejects.toThrow(refused(/0 to 1000000/));
    await expect(say('quota set discord:1 1.5')).rejects.toThrow(refused(/whole number/));
    await expect(say('quota show @somebody')).rejects.toThrow(refused(/discord:123/));
    await expect(say('quota show role:x:y:z')).rejects.toThrow(refused(/role:/));
  });
});

describe('bans', () => {
  it('last some hours, or for good, and end', async () => {
    const before = Date.now();
    expect(await say('ban telegram:7 24 spam and  more')).toMatch(
      /^telegram:7 is banned until \d{4}-\d\d-\d\d \d\d:\d\d UTC\.$/,
    );
    const ban = (await admin.bans.all()).get('telegram:7');
    expect(ban?.reason).toBe('spam and more');
    expect((ban?.untilMs ?? 0) - before).toBeGreaterThanOrEqual(24 * 3_600_000);
    expect((ban?.untilMs ?? 0) - before).toBeLessThan(24 * 3_600_000 + 60_000);
    expect(await say('unban telegram:7')).toBe('telegram:7 is not banned any more.');
    expect(await say('unban telegram:7')).toBe(en.admin.unchanged);

    expect(await say('ban 7 being rude')).toBe('discord:7 is banned for good.');
    expect((await admin.bans.all()).get('discord:7')).toEqual({ untilMs: 0, reason: 'being rude' });
    expect(await say('ban community:telegram:-100 0.5h')).toMatch(/^telegram:-100 is banned until/);
    expect((await admin.bans.all()).get('telegram:-100')).toMatchObject({ reason: '' });
  });

  it('are refused for roles, without a name, and for too long', async () => {
    expect(await say('ban')).toContain(en.admin.usage);
    expect(await say('unban')).toContain(en.admin.usage);
    expect(await say('ban role:discord:77')).toContain(en.admin.usage);
    await expect(say('ban discord:7 999999999')).rejects.toThrow(refused(/hours/));
    await expect(say('ban somebody')).rejects.toThrow(refused(/discord:123/));
  });
});

describe('the queue', () => {
  it('is paused, resumed and drained', async () => {
    expect(await say('pause lunch break')).toBe(en.admin.done);
    expect(await say('pause')).toBe(en.admin.unchanged);
    expect(await say('stats')).toContain('Queue: paused');
    expect(await say('drain')).toBe(en.admin.done);
    expect(await admin.mode.current()).toBe('draining');
    expect(await say('resume')).toBe(en.admin.done);
    expect(await say('resume')).toBe(en.admin.unchanged);
  });

  it('is counted', async () => {
    await client.submit(await harness.request('waits', 'discord:9'));
    await harness.server.connect().hset(harness.keys.failures, 'OUT_OF_MEMORY', 2, 'INTERNAL', 3);
    const text = await say('stats');
    expect(text).toMatch(/Waiting: 2 · running: 0/);
    expect(text).toContain('Failures so far: INTERNAL 3, OUT_OF_MEMORY 2');
    expect(text).toMatch(/\n• t-waits · discord:9 · \w+ · waiting/);
    expect(await say('stats', zh)).toContain('排队：2');
  });

  it("loses anybody's job that an admin cancels", async () => {
    expect(await say('cancel t-waits')).toBe(en.status.cancelling);
    expect((await client.ledger.read('t-waits'))?.state).toBe('cancelled');
    expect(await say('cancel t-waits')).toBe(en.refusal.finished);
    expect(await say('cancel t-unknown')).toBe(en.refusal.gone);
    expect(await say('cancel not/an:id')).toBe(en.refusal.gone);
    expect(await say('cancel')).toContain(en.admin.usage);
  });

  it('remembers what admins did, newest first', async () => {
    const lines = (await say('audit 25')).split('\n');
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d discord:1 cancel t-waits/);
    expect(lines.join('\n')).toMatch(/pause queue.*lunch break/);
    expect(lines.join('\n')).toMatch(/credits user:discord:8035 \(– → 20\): good friend/);
    expect((await say('audit 2')).split('\n')).toHaveLength(2);
    expect((await say('audit')).split('\n').length).toBeLessThanOrEqual(10);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(140);
    await expect(say('audit 0')).rejects.toThrow(refused(/1 to/));
    await expect(say('audit all')).rejects.toThrow(refused(/not a number/));
  });
});

it('says how it is used', async () => {
  expect(await say('')).toBe(en.admin.usage);
  expect(await say('dance')).toBe(`${en.admin.unknown('dance')}\n${en.admin.usage}`);
  expect(await say('toString')).toContain(en.admin.usage);
  expect(await say('跳舞', zh)).toContain(zh.admin.usage);
});
