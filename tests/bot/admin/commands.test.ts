import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AdminCommand, type Misunderstood, parseAdminCommand } from '../../../src/bot/admin/commands.ts';
import { type AdminTools, adminTools, runAdminCommand } from '../../../src/bot/admin/run-command.ts';
import { en } from '../../../src/bot/sentences/en.ts';
import { adminUsage, renderAdmin } from '../../../src/bot/sentences/render-admin.ts';
import { zh } from '../../../src/bot/sentences/zh.ts';
import type { JobClient } from '../../../src/queue/client.ts';
import { banOf, community, role, user } from '../../helpers/admin-tools.ts';
import { Harness, log, openTerms } from '../../helpers/queue-harness.ts';

const root = 'discord:1';
let harness: Harness;
let client: JobClient;
let admin: AdminTools;
const terms = { ...openTerms, limits: { ...openTerms.limits, credits: 5 } };

beforeAll(async () => {
  harness = await Harness.start();
  client = harness.client(terms);
  admin = adminTools(harness.server.failFast(), client, terms, log);
});
afterAll(async () => {
  await admin.mode.close();
  await harness.stop();
});

const parse = (words: string, more = {}): AdminCommand | Misunderstood =>
  parseAdminCommand(words.split(' '), { platform: 'discord', ...more });
const say = async (words: string, messages = en): Promise<string> =>
  renderAdmin(await runAdminCommand(parse(words), root, admin), messages);
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
    expect(await admin.quotas.creditsOf(community('telegram:-1001'))).toBeUndefined();
    expect(await say('quota grant role:discord:77 3')).toBe(en.admin.usersOnly);
  });

  it('that is not understood is answered with the usage, wrong values with the range', async () => {
    for (const words of [
      'quota',
      'quota steal discord:1',
      'quota set',
      'quota set discord:1',
      'quota grant 5',
    ]) {
      expect(await say(words)).toContain(adminUsage(en));
    }
    expect(await say('quota constructor discord:1')).toContain(adminUsage(en));
    expect(await say('quota set discord:1 many')).toMatch(/^"many" is not a number\. Correct that/);
    expect(await say('quota set discord:1 many', zh)).not.toMatch(/[a-z]{5}/);
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
    const ban = await banOf(admin.bans, 'telegram:7');
    expect(ban?.reason).toBe('spam and more');
    // By Redis's clock, which this process knows to within the time of a question.
    expect(Math.abs((ban?.untilMs ?? 0) - before - 24 * 3_600_000)).toBeLessThan(60_000);
    expect(await say('unban telegram:7')).toBe('telegram:7 is not banned any more.');
    expect(await say('unban telegram:7')).toBe(en.admin.unchanged);

    expect(await say('ban discord:7 being rude')).toBe('discord:7 is banned for good.');
    expect(await banOf(admin.bans, 'discord:7')).toEqual({
      owner: user('discord:7'),
      untilMs: 0,
      reason: 'being rude',
    });
    expect(await say('ban community:telegram:-100 0.5h')).toMatch(/^telegram:-100 is banned until/);
    expect(await banOf(admin.bans, 'telegram:-100')).toMatchObject({
      owner: community('telegram:-100'),
      reason: '',
    });
  });

  it('are refused for roles, without a name, and for too long', async () => {
    expect(await say('ban')).toContain(adminUsage(en));
    expect(await say('unban')).toContain(adminUsage(en));
    expect(await say('ban role:discord:77')).toContain(adminUsage(en));
    await expect(say('ban discord:7 999999999')).rejects.toThrow(refused(/hours/));
    await expect(say('ban somebody')).rejects.toThrow(refused(/discord:123/));
  });

  it.each([
    '0',
    '0h',
    '0.00001',
    '-5',
    '+5',
    '1e-9',
    '1e9',
    '.5',
    '1,5',
    'NaN',
    'Infinity',
    '2d',
    '30m',
    '2026-12-01',
    '2days',
    '2 days',
    '2 d',
    '30min,',
    '7天',
    '７ 天',
  ])('of "%s" hours is refused with the range, and nobody is banned', async (hours) => {
    const outcome = await say(`ban discord:70 ${hours} spam`).catch(String);
    expect(outcome).toMatch(/A ban lasts 0\.01 to 87840 hours, or for good when no hours are given/);
    expect(await banOf(admin.bans, 'discord:70')).toBeUndefined();
  });

  it.each([Number.NaN, -1, 0, 1e-9, Number.POSITIVE_INFINITY, 1e300])(
    'of %d hours, as an option of a platform, is refused, too',
    async (hours) => {
      const command = { kind: 'ban', owner: user('discord:70'), hours, reason: '' } as const;
      await expect(runAdminCommand(command, root, admin)).rejects.toThrow(refused(/0\.01 to 87840 hours/));
      expect(await banOf(admin.bans, 'discord:70')).toBeUndefined();
    },
  );

  it('keep what only looks a little like hours in the reason', () => {
    for (const reason of ['2nd offence', '24/7 spam', '3x the same', 'v1.5 leak', '24:00 curfew']) {
      expect(parse(`ban discord:7 ${reason}`)).toEqual({ kind: 'ban', owner: user('discord:7'), reason });
    }
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
    expect(await say('cancel')).toContain(adminUsage(en));
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
    expect(await say('audit all')).toMatch(/not a number/);
  });
});

describe('a ban', () => {
  it('is listed with its end, its reason, and who set it', async () => {
    const text = await say('bans');
    expect(text).toMatch(/^Banned: 2\n/);
    expect(text).toMatch(/\n• discord:7 · for good · discord:1 \d{4}-\d\d-\d\d \d\d:\d\d: being rude/);
    expect(text).toMatch(/\n• telegram:-100 · until \d{4}-\d\d-\d\d \d\d:\d\d UTC · discord:1 /);
    expect(await say('bans', zh)).toMatch(/^被封禁的：2 个\n• discord:7 · 没有期限/);
  });

  it('is found on a page when there are many', async () => {
    for (let i = 0; i < 15; i++) await say(`ban discord:1000${i}`);
    const [first, second] = [await say('bans'), await say('bans 2')];
    expect(first.split('\n')).toHaveLength(16);
    expect(second).toMatch(/^Banned: 17 \(page 2 of 2\)\n/);
    expect(second.split('\n')).toHaveLength(3);
    await expect(say('bans 3')).rejects.toThrow(refused(/The page is a number from 1 to 2\./));
    await expect(say('bans 0')).rejects.toThrow(refused(/from 1 to 2/));
    expect(await say('bans many')).toMatch(/not a number/);
    for (const { owner } of await admin.bans.all()) await admin.bans.unban(root, owner.key);
    expect(await say('bans')).toBe('Nobody is banned.');
    expect(await say('bans', zh)).toBe('没有人被封禁。');
  });
});

describe('weights', () => {
  it('are set for users, roles and communities, shown, listed and reset', async () => {
    expect(await say('weight list')).toBe(en.admin.noWeights);
    expect(await say('weight show 8035')).toBe('user:discord:8035: no weight of its own.');
    expect(await say('weight set role:77 2.5 our supporters')).toMatch(
      /^role:discord:77: weight 2\.5\. .* 2\.5 times/,
    );
    expect(await say('weight set community:telegram:-1001 0.5')).toMatch(
      /^community:telegram:-1001: weight 0\.5/,
    );
    expect(await say('weight show role:77', zh)).toMatch(/^role:discord:77：权重 2\.5。/);
    expect(await say('weight list')).toBe(
      'Weights: 2\n• role:discord:77 · 2.5\n• community:telegram:-1001 · 0.5',
    );
    expect(await say('weight reset role:77')).toBe(en.admin.done);
    expect(await say('weight reset role:77')).toBe(en.admin.unchanged);
    expect(await say('weight list')).toBe('Weights: 1\n• community:telegram:-1001 · 0.5');
    expect(await say('audit 3')).toMatch(
      /clear-weight role:discord:77 \(2\.5 → –\)\n.*weight community:telegram:-1001 \(– → 0\.5\)\n.*weight role:discord:77 \(– → 2\.5\): our supporters$/,
    );
  });

  it('outside the range are refused with it, and what is not understood with the usage', async () => {
    for (const weight of ['0', '0.05', '11', '-1']) {
      await expect(say(`weight set 8035 ${weight}`)).rejects.toThrow(refused(/between 0\.1 and 10/));
    }
    for (const words of ['weight', 'weight show', 'weight set 8035', 'weight double 8035']) {
      expect(await say(words)).toContain(adminUsage(en));
    }
    expect(await say('weight set 8035 heavy')).toMatch(/"heavy" is not a number/);
    await expect(say('weight show @somebody')).rejects.toThrow(refused(/discord:123/));
  });
});

describe('a reply to somebody', () => {
  const asReply = (words: string) => parse(words, { user: 'discord:5', jobId: 'd-9' });

  it('names them where no target is written', () => {
    expect(asReply('ban')).toEqual({ kind: 'ban', owner: user('discord:5'), reason: '' });
    expect(asReply('ban 24 see rule: 5')).toEqual({
      kind: 'ban',
      owner: user('discord:5'),
      hours: 24,
      reason: 'see rule: 5',
    });
    expect(asReply('quota grant 10')).toEqual({ kind: 'grant', user: 'discord:5', credits: 10, reason: '' });
    expect(asReply('quota show')).toEqual({ kind: 'showQuota', target: user('discord:5') });
    expect(asReply('weight set 2')).toEqual({
      kind: 'setWeight',
      target: user('discord:5'),
      weight: 2,
      reason: '',
    });
    expect(asReply('cancel')).toEqual({ kind: 'cancel', jobId: 'd-9' });
  });

  it('does not where one is', () => {
    expect(asReply('unban discord:7')).toEqual({ kind: 'unban', owner: user('discord:7'), reason: '' });
    expect(asReply('quota reset role:7')).toEqual({
      kind: 'clearQuota',
      target: role('discord:7'),
      reason: '',
    });
    expect(asReply('cancel d-1')).toEqual({ kind: 'cancel', jobId: 'd-1' });
    expect(asReply('weight list 2')).toEqual({ kind: 'listWeights', page: 2 });
  });

  it('does not where a bare id is written', () => {
    expect(asReply('quota set 5002 20')).toEqual({
      kind: 'setQuota',
      target: user('discord:5002'),
      credits: 20,
      reason: '',
    });
    expect(asReply('quota set 5002 default')).toMatchObject({
      kind: 'clearQuota',
      target: user('discord:5002'),
    });
    expect(asReply('quota grant 5002 20 a gift')).toMatchObject({ user: 'discord:5002', credits: 20 });
    expect(asReply('quota show 5002')).toEqual({ kind: 'showQuota', target: user('discord:5002') });
    expect(asReply('quota reset 5002 sorry')).toMatchObject({ kind: 'resetUsed', user: 'discord:5002' });
    expect(asReply('weight set 5002 2')).toMatchObject({ target: user('discord:5002'), weight: 2 });
    expect(asReply('weight show 5002')).toMatchObject({ target: user('discord:5002') });
    expect(asReply('weight reset 5002')).toMatchObject({ target: user('discord:5002') });
    expect(asReply('unban 5002')).toEqual({ kind: 'unban', owner: user('discord:5002'), reason: '' });
    expect(asReply('unban 7')).toEqual({ kind: 'unban', owner: user('discord:7'), reason: '' });
    expect(asReply('ban 5002 24 spam')).toMatchObject({ owner: user('discord:5002'), hours: 24 });
    expect(asReply('ban 80351110224678912 spam')).toMatchObject({
      owner: user('discord:80351110224678912'),
      reason: 'spam',
    });
    expect(asReply('quota grant 80351110224678912')).toEqual({ kind: 'missing', what: 'NUMBER' });
    expect(asReply('ban web:ab12 24 spam')).toMatchObject({ owner: user('web:ab12'), hours: 24 });
  });

  it('is asked back about a number that may be an id or hours', () => {
    for (const words of ['ban 5002', 'ban 5002 spam']) {
      expect(asReply(words), words).toEqual({ kind: 'idOrHours', hours: '5002h', target: 'discord:5002' });
    }
    expect(renderAdmin({ kind: 'idOrHours', hours: '5002h', target: 'telegram:5002' }, en)).toBe(
      'That number may be a person or hours. Write "telegram:5002" or "5002h".',
    );
    expect(asReply('ban 5002h spam')).toMatchObject({ owner: user('discord:5'), hours: 5002 });
    expect(asReply('ban discord:5002 spam')).toMatchObject({ owner: user('discord:5002'), reason: 'spam' });
  });

  it('is asked back about a number that may be an id or credits', () => {
    for (const words of ['quota grant 5002', 'quota set 5002', 'quota grant 5002 a gift']) {
      const unclear = { kind: 'idOrCredits', credits: 'discord:5 5002', target: 'discord:5002' } as const;
      expect(asReply(words), words).toEqual(unclear);
      expect(renderAdmin(unclear, en)).toBe(
        'That number may be a person or credits. Write "discord:5002" and a number, or "discord:5 5002".',
      );
      expect(renderAdmin(unclear, zh)).toContain('“discord:5 5002”');
    }
    expect(asReply('quota grant discord:5 5002')).toMatchObject({ user: 'discord:5', credits: 5002 });
    expect(parse('quota grant 5002', { isReply: true })).toEqual({ kind: 'missing', what: 'NUMBER' });
  });

  it('is asked back about an id behind the number, since only one can be meant', () => {
    for (const words of [
      'quota set 20 5002',
      'quota grant 20 80351110224678912',
      'ban 24 5002',
      'weight set 2 5002',
    ]) {
      expect(asReply(words), words).toEqual({ kind: 'severalTargets' });
    }
  });

  it.each([
    ['24 spam https://spam.example', 24, 'spam https://spam.example'],
    ['24 https://spam.example', 24, 'https://spam.example'],
    ['https://spam.example 24', undefined, 'https://spam.example 24'],
    ['rule:5', undefined, 'rule:5'],
    ['24 rule:5 http://a.b:80', 24, 'rule:5 http://a.b:80'],
    ['note: spam', undefined, 'note: spam'],
    ['24 3 warnings ignored', 24, '3 warnings ignored'],
    ['24 5002 times', 24, '5002 times'],
    ['spam 24', undefined, 'spam 24'],
    ['0.5h spam 7', 0.5, 'spam 7'],
    ['24 rude to discord:9', 24, 'rude to discord:9'],
    ['24, spam', 24, 'spam'],
    ['24hours spam', 24, 'spam'],
    ['24小时 垃圾广告：https', 24, '垃圾广告：https'],
    ['２４ 垃圾', 24, '垃圾'],
    ['24 12:30 again', 24, '12:30 again'],
  ] as const)('"ban %s" means them, with all behind the hours as the reason', (words, hours, reason) => {
    expect(asReply(`ban ${words}`)).toEqual({
      kind: 'ban',
      owner: user('discord:5'),
      ...(hours === undefined ? {} : { hours }),
      reason,
    });
  });

  it('means nobody where a name is misspelled, cannot be looked up, or two are there', async () => {
    for (const words of [
      'ban @mallory 24 spam',
      'unban @mallory',
      'quota show discord:',
      'ban telegram:5002, spam',
    ]) {
      const done = runAdminCommand(asReply(words), root, admin);
      await expect(done, words).rejects.toThrow(refused(/discord:123/));
    }
    for (const words of [
      'ban discord:7 discord:8',
      'ban 24 discord:7 spam',
      'ban 24 @mallory spam',
      'quota set 20 discord:7',
      'weight set 2 role:7',
      'unban 7 discord:8',
    ]) {
      expect(asReply(words), words).toEqual({ kind: 'severalTargets' });
    }
    expect(parse('ban 24 discord:7 spam')).toEqual({ kind: 'severalTargets' });
    for (const name of [
      'id:5002',
      'group:-1001234',
      'tg:5002',
      '#5002',
      '#id5002',
      'id5002',
      'tg://user?id=5002',
    ]) {
      expect(asReply(`ban ${name} 24 spam`), name).toEqual({ kind: 'unknown', text: name });
      expect(asReply(`quota set ${name} 20`), name).toEqual({ kind: 'unknown', text: name });
      expect(parse(`unban ${name}`), name).toEqual({ kind: 'unknown', text: name });
    }
    expect(asReply('ban telegram：5002 24')).toMatchObject({ owner: user('telegram:5002'), hours: 24 });
  });

  it('who cannot be meant means nobody, and no number becomes a target', () => {
    const toNobody = (words: string) => parse(words, { isReply: true });
    expect(toNobody('ban 24 spam')).toEqual({ kind: 'missing', what: 'USER' });
    expect(toNobody('quota grant 20')).toEqual({ kind: 'missing', what: 'TARGET' });
    expect(toNobody('quota set 20 3 times')).toEqual({ kind: 'missing', what: 'TARGET' });
    expect(toNobody('ban discord:7 24')).toMatchObject({ owner: user('discord:7'), hours: 24 });
  });
});

describe('without a reply', () => {
  it('a number too short for an id names nobody', () => {
    for (const words of ['ban 24', 'ban 24 spam', 'ban 7 being rude']) {
      expect(parse(words), words).toEqual({ kind: 'missing', what: 'USER' });
    }
    for (const words of ['quota grant 500', 'quota set 20 3 times', 'weight set 2']) {
      expect(parse(words), words).toEqual({ kind: 'missing', what: 'TARGET' });
    }
    expect(parse('ban 5003 24 spam')).toMatchObject({ owner: user('discord:5003'), hours: 24 });
    expect(parse('quota set 5003 5002')).toMatchObject({ target: user('discord:5003'), credits: 5002 });
    expect(parse('ban rule:5 spam')).toEqual({ kind: 'missing', what: 'USER' });
  });
});

it('shows names where the platform has them', async () => {
  const names = ({ kind, key }: { kind: string; key: string }): string => `<${kind} ${key}>`;
  const named = async (words: string) =>
    renderAdmin(await runAdminCommand(parse(words), root, admin), en, names);
  expect(await named('ban discord:8 rude to discord:9')).toBe('<user discord:8> is banned for good.');
  expect(await named('quota set role:77 9')).toBe('<role discord:77>: 9 credits a day.');
  expect(await named('weight set community:discord:3 2')).toMatch(/^<community discord:3>: weight 2/);
  const trail = await named('audit 3');
  expect(trail).toContain('<user discord:1> weight <community discord:3> (– → 2)');
  expect(trail).toContain('<user discord:1> ban <user discord:8> (– → ∞): rude to discord:9');
  expect(await named('bans')).toContain('• <user discord:8> · for good · <user discord:1> ');
});

it('says how it is used', async () => {
  expect(await say('')).toBe(adminUsage(en));
  expect(await say('dance')).toBe(`${en.admin.unknown('dance')}\n${adminUsage(en)}`);
  expect(await say('toString')).toContain(adminUsage(en));
  expect(await say('跳舞', zh)).toContain(adminUsage(zh));
});
