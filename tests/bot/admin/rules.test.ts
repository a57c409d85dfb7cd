import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockedWords, checkBlockedWords, readBlockedWords } from '../../../src/bot/admin/blocked-words.ts';
import { RuleBook, ruleFields } from '../../../src/bot/admin/rules.ts';
import type { Person, Place } from '../../../src/bot/people.ts';
import { en } from '../../../src/bot/sentences/en.ts';
import { zh } from '../../../src/bot/sentences/zh.ts';
import { RuleStore } from '../../../src/queue/community-rules.ts';
import type { ChatOptions } from '../../../src/request/request.ts';
import { ann, bob, here, mei, root, Talk } from '../../helpers/conversation-fixture.ts';
import { answerFiles } from '../../helpers/job-files.ts';

const finds = (words: string, text: string): boolean =>
  new BlockedWords(readBlockedWords(words)).find(text) !== undefined;
const refused = (why: RegExp): unknown =>
  expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringMatching(why) });

describe('a blocked word', () => {
  it.each([
    ['gore', 'a field of GORE, please'],
    ['gore', 'gore'],
    ['gore', 'no (gore)!'],
    ['gore', '_gore_'],
    ['gore', "the gore's colour"],
    ['straße', 'eine STRASSE bei Nacht'],
    ['STRASSE', 'die Straße'],
    ['STRAẞE', 'die Strasse'],
    ['ὀδυσσεύς', 'ὈΔΥΣΣΕΎΣ am Meer'],
    ['istanbul', 'İSTANBUL at night'],
    ['été', 'un e\u0301te\u0301 calme'],
    ['c++', 'code in c++ on a screen'],
    ['"two words"', 'there are two   words here'],
    ['血腥', '一个很血腥的画面'],
    ['グロ', 'すごくグロい'],
    ['кровь', 'Кровь на снегу'],
  ])('%s is found in "%s"', (word, text) => {
    expect(finds(word, text)).toBe(true);
  });

  it.each([
    ['gore', 'the gorey details'],
    ['gore', 'phantasmagore'],
    ['gore', 'gore1'],
    ['ass', 'a grassy class'],
    ['été', 'etes'],
    ['"two words"', 'two other words'],
    ['c++', 'a c+ grade'],
    ['кровь', 'кровью'],
    ['gore', ''],
  ])('%s is not found in "%s"', (word, text) => {
    expect(finds(word, text)).toBe(false);
  });

  it.each([
    ['between letters', 'g\u200Bo\u200Dr\u2060e'],
    ['as a soft hyphen', 'go\u00ADre'],
    ['as direction marks', 'a \u202Egore\u202C b'],
    ['as variation selectors', 'g\uFE0Fo\uFE0Fre\u{E0100}'],
    ['as tags', 'go\u{E0061}re'],
    ['as strokes', 'g\u0336o\u0336r\u0336e\u0336'],
    ['in full width', 'ｇｏｒｅ'],
    ['in mathematical letters', '𝓰𝓸𝓻𝓮'],
    ['in circles', 'ⓖⓞⓡⓔ'],
    ['as a grapheme joiner', 'g\u034Fore'],
    ['as a Hangul filler', 'g\u3164ore'],
  ])('does not hide %s', (_how, text) => {
    expect(finds('gore', text)).toBe(true);
    expect(finds('/gore/', text)).toBe(true);
  });

  it('is found whatever invisible things stand in it, and is the same word when read again', () => {
    const hiding = ['\u200B', '\u200D', '\u200F', '\u2060', '\u00AD', '\uFEFF', '\u180E', '\uFE0F', '\u034F'];
    const invisible = fc.string({ unit: fc.constantFrom(...hiding), maxLength: 3 });
    const word = fc.stringMatching(/^[a-z]\p{L}{2,5}$/u);
    fc.assert(
      fc.property(word, invisible, fc.nat(12), (text, hidden, at) => {
        const cut = [...text];
        cut.splice(at, 0, hidden);
        const [read = '', ...more] = readBlockedWords(`"${text}"`);
        expect(more).toEqual([]);
        expect(finds(`"${text}"`, `x. ${cut.join('')} !`)).toBe(true);
        expect(readBlockedWords(`"${read}"`)).toEqual([read]);
      }),
      { numRuns: 300 },
    );
  });

  it('is read alone, in quotes, or as a pattern, and kept once', () => {
    expect(readBlockedWords('Foo  "Two  Words" /colou?r [a-z]+/ foo „drei Worte“ /a\\/b/')).toEqual([
      'foo',
      'two words',
      '/colou?r [a-z]+/',
      'drei worte',
      '/a\\/b/',
    ]);
    expect(readBlockedWords('/a\n \u0007b/')).toEqual(['/a b/']);
  });

  it('has limits, which are named', () => {
    expect(() => readBlockedWords('a'.repeat(101))).toThrow(refused(/1 to 100 characters, not 101/));
    expect(() => readBlockedWords(`/${'a'.repeat(101)}/`)).toThrow(refused(/1 to 100 characters, not 101/));
    expect(() => readBlockedWords('\u200B')).toThrow(refused(/1 to 100 characters, not 0/));
    expect(() => readBlockedWords('""')).toThrow(refused(/not 0/));
    const words = Array.from({ length: 101 }, (_, i) => `word${i}`);
    expect(() => checkBlockedWords(words)).toThrow(refused(/0 to 100 blocked words, not 101/));
    expect(() => checkBlockedWords(words.slice(1))).not.toThrow();
    expect(() => checkBlockedWords(['/x{600}/', '/y{600}/'])).toThrow(refused(/1000 steps/));
  });
});

describe('a pattern', () => {
  it('is matched without regard to case, anywhere in the text', () => {
    expect(finds('/colou?rs?/', 'Many COLORS')).toBe(true);
    expect(finds('/\\bgore\\b/', 'phantasmagore')).toBe(false);
    expect(finds('/^only this$/', 'only this')).toBe(true);
    expect(finds('/血{2,}/', '血血')).toBe(true);
    expect(finds('/(foo|bar) .* baz/ /qux/', 'a bar and then a baz')).toBe(true);
    expect(finds('/é/', 'caf\u0065\u0301')).toBe(true);
  });

  it.each([
    ['/(?=a)b/', /not understood/],
    ['/(a)\\1/', /not understood/],
    ['/(unclosed/', /not understood/],
    ['/a{2000}/', /not understood/],
    ['/((a{100}){100}){100}/', /not understood/],
    ['/a*/', /fits every prompt/],
    ['/|a/', /fits every prompt/],
    ['/foo/i', /between two slashes/],
    ['/foo', /between two slashes/],
  ])('%s is refused', (pattern, why) => {
    expect(() => readBlockedWords(pattern)).toThrow(refused(why));
  });

  it('that would keep a backtracking engine busy for ever is through at once', () => {
    const hostile = [
      '(a+)+$',
      '(a|aa)+$',
      '(x+x+)+y',
      '(.*a){10}$',
      '([a-z]+)*\\d$',
      '(?:a|b)*a(?:a|b){40}c',
    ];
    const words = new BlockedWords(readBlockedWords(hostile.map((one) => `/${one}/`).join(' ')));
    const mixed = Array.from({ length: 1000 }, (_, i) => ((i * 7919) % 13 < 6 ? 'a' : 'b')).join('');
    const texts = [`${'a'.repeat(999)}!`, `${'x'.repeat(999)}!`, `${mixed}!`, `${'ab'.repeat(499)}!`];
    for (const text of texts) expect(words.find(text)).toBeUndefined();
    expect(words.find('a'.repeat(1000))).toBe('/…/');
  }, 2_000);

  it('is through at once, too, when all the patterns that are allowed meet the longest prompt', () => {
    const many = Array.from({ length: 24 }, (_, i) => `/(?:a|b)*a(?:a|b){${14 + i}}c/`).join(' ');
    const entries = readBlockedWords(many);
    checkBlockedWords(entries);
    const words = new BlockedWords(entries);
    const text = Array.from({ length: 4_000 }, (_, i) => ((i * 7919) % 17 < 8 ? 'a' : 'b')).join('');
    for (let i = 0; i < 3; i++) expect(words.find(text)).toBeUndefined();
    expect(words.find(`${text}c`.slice(1))).toBe('/…/');
  });

  it('is not asked about a text that unfolds beyond measure; that is refused', () => {
    const words = new BlockedWords(readBlockedWords('/never/ nowhere'));
    expect(words.find('\uFDFA'.repeat(1000))).toBe('');
    expect(words.find('㍻'.repeat(1000))).toBeUndefined();
  });
});

const moderator: Person = { ...bob, isModerator: true };
const lounge: Place = { ...here, channelKey: 'test:1', isAgeRestricted: false };

describe('rules of a community', () => {
  let talk: Talk;
  beforeEach(async () => {
    talk = await Talk.start();
  });
  afterEach(async () => {
    await talk.stop();
  });

  const rules = async (words: string, place = lounge, person = moderator): Promise<string> =>
    await talk.conversation.ruleWords(person, place, words.split(' '));
  let count = 0;
  const ask = async (over: Parameters<Talk['ask']>[1] = {}) =>
    await talk.ask(`t-${++count}`, { place: lounge, ...over });
  const store = (): RuleStore => new RuleStore(talk.admin.trail);
  const hash = (): string => talk.harness.keys.rules('test:here');

  it('are made by its moderators and by admins, nobody else, and in no private chat', async () => {
    expect(await rules('spoiler on', lounge, ann)).toBe(en.rules.notModerator);
    expect(await rules('show', lounge, { ...mei, isModerator: false })).toBe(zh.rules.notModerator);
    expect(await rules('spoiler on', { maxBytes: 1 })).toBe(en.rules.notHere);
    expect(await talk.harness.server.connect().exists(hash())).toBe(0);
    expect(await rules('spoiler on')).toMatch(/^Done\.\n[\s\S]*spoilers: on/);
    expect(await rules('spoiler on', lounge, root)).toBe(en.admin.unchanged);
    expect(await rules('show', lounge, root)).toBe(
      'Channels: all\nRoles: all\nVideos as spoilers: on\nOnly in age-restricted channels: off\nHighest preset: any\nBlocked words: 0',
    );
    expect(await rules('show', lounge, { ...mei, isModerator: true })).toMatch(/视频加剧透遮罩: 开/);
    const audit = await talk.admin.trail.entries();
    expect(audit).toMatchObject([
      { by: bob.userKey, action: 'rule', target: 'test:here spoiler', before: '', after: 'on' },
    ]);
    // Another community has its own.
    expect(await rules('show', { ...lounge, communityKey: 'test:there' })).toMatch(/spoilers: off/);
  });

  it('answer what is not understood with how it is written', async () => {
    for (const words of ['', 'nonsense', 'channels', 'channels open', 'spoiler maybe', 'words', 'preset']) {
      const text = await rules(words);
      if (words === '') expect(text).toMatch(/^Channels: all/);
      else expect(text, words).toContain(en.rules.usage);
    }
    expect(await rules('channels allow')).toContain('Missing: ID');
    expect(await rules('words add')).toContain('Missing: WORD');
    expect(await rules('preset huge')).toContain('fast, standard, high, creative, any');
    expect(await rules('channels allow elsewhere')).toContain('name them by their number, or "here"');
    expect(await rules('roles allow other:5')).toContain('none of the roles');
    expect(await rules('words list 2')).toBe(en.rules.noWords);
    expect(await talk.harness.server.connect().exists(hash())).toBe(0);
  });

  it('allow channels', async () => {
    expect(await rules('channels allow here <#22> test:33 44')).toContain('Channels: 1, 22, 33, 44');
    expect(await ask()).toMatchObject({ accepted: true });
    expect(await ask({ place: { ...lounge, channelKey: 'test:44' } })).toMatchObject({ accepted: true });
    const elsewhere = await ask({ place: { ...lounge, channelKey: 'test:5' } });
    expect(elsewhere).toEqual({
      accepted: false,
      isDuplicate: false,
      text: en.rules.refused.channel,
      buttons: [],
    });
    expect(await talk.harness.artifacts.hasImage(`t-${count}`)).toBe(false);
    // Where the channel is not known, it is not allowed. Private chats have no rules.
    expect((await ask({ place: here, person: mei })).text).toBe(zh.rules.refused.channel);
    expect(await ask({ place: { maxBytes: 1e7 } })).toMatchObject({ accepted: true });
    expect(await rules('channels clear 22 33')).toContain('Channels: 1, 44');
    expect(await rules('channels clear')).toContain('Channels: all');
    expect(await ask({ place: { ...lounge, channelKey: 'test:5' } })).toMatchObject({ accepted: true });
    const many = Array.from({ length: 51 }, (_, i) => i + 1).join(' ');
    expect(await rules(`channels allow ${many}`)).toContain('0 to 50 channels, not 51');
  });

  it('allow roles', async () => {
    expect(await rules('roles allow <@&7> 8')).toContain('Roles: 7, 8');
    expect((await ask()).text).toBe(en.rules.refused.role);
    expect((await ask({ person: { ...ann, roleKeys: ['test:9'] } })).text).toBe(en.rules.refused.role);
    expect(await ask({ person: { ...ann, roleKeys: ['test:9', 'test:8'] } })).toMatchObject({
      accepted: true,
    });
    await rules('roles clear');
    expect(await ask()).toMatchObject({ accepted: true });
  });

  it('allow only age-restricted channels, where there are such', async () => {
    const { isAgeRestricted: _, ...unknown } = lounge;
    expect(await rules('age on', unknown)).toBe(en.rules.noAge);
    expect(await rules('age on')).toContain('age-restricted channels: on');
    expect((await ask()).text).toBe(en.rules.refused.age);
    expect((await ask({ place: unknown })).text).toBe(en.rules.refused.age);
    expect(await ask({ place: { ...lounge, isAgeRestricted: true } })).toMatchObject({ accepted: true });
    await rules('age off', unknown);
    expect(await ask()).toMatchObject({ accepted: true });
  });

  it('refuse people who write as a channel, unless a moderator allows it', async () => {
    const channel: Person = { ...ann, userKey: 'test:as-1', isChannel: true };
    expect((await ask({ person: channel })).text).toBe(en.rules.refused.asChannel);
    expect((await ask({ person: { ...channel, locale: 'zh-CN' } })).text).toBe(zh.rules.refused.asChannel);
    expect(await rules('aschannel on')).toContain('Requests in the name of a channel: on');
    expect(await ask({ person: channel })).toMatchObject({ accepted: true });
    expect(await rules('aschannel off')).not.toContain('channel: on');
    expect((await ask({ person: channel })).text).toBe(en.rules.refused.asChannel);
    expect(await ask()).toMatchObject({ accepted: true });
    expect(await rules('aschannel maybe')).toContain(en.rules.usage);
  });

  it('limit the preset, and the options that would get around it', async () => {
    expect(await rules('preset standard')).toContain('Highest preset: standard');
    expect((await ask({ options: { preset: 'high' } })).text).toBe(
      en.rules.refused.preset('fast, standard, creative'),
    );
    for (const preset of ['fast', 'standard', 'creative'] as const) {
      expect(await ask({ options: { preset } })).toMatchObject({ accepted: true });
    }
    const by = async (options: ChatOptions): Promise<string> => (await ask({ options })).text;
    expect(await by({ preset: 'fast', numFrames: 17 })).toBe(en.rules.refused.frames(16));
    expect(await by({ preset: 'fast', numInferenceSteps: 51 })).toBe(en.rules.refused.steps(50));
    expect(await by({ size: '768' })).toBe(en.rules.refused.size(512));
    expect(await by({ size: '1024x512' })).toBe(en.rules.refused.size(512));
    expect(await ask({ options: { size: '640x384', numFrames: 16, numInferenceSteps: 50 } })).toMatchObject({
      accepted: true,
    });
    await rules('preset fast');
    expect((await ask()).text).toBe(en.rules.refused.preset('fast'));
    await rules('preset any');
    expect(await ask({ options: { preset: 'high', numFrames: 32 } })).toMatchObject({ accepted: true });
  });

  it('block words in prompts, in what a prompt shall not be, and in what is asked again', async () => {
    await ask({ options: { prompt: 'rivers of gore' } });
    const earlier = await talk.entry(`t-${count}`);
    expect(await rules('words add Gore "dark night" /bl(oo|u)d+/')).toContain('Blocked words: 3');
    const blocked = en.rules.refused.word('g…');
    expect((await ask({ options: { prompt: 'waves of GO\u200BRE' } })).text).toBe(blocked);
    expect((await ask({ options: { prompt: 'waves', negativePrompt: 'gore' } })).text).toBe(blocked);
    expect((await ask({ options: { prompt: 'a bludd moon' } })).text).toBe(en.rules.refused.word(''));
    expect(await ask({ options: { prompt: 'waves at night, dark' } })).toMatchObject({ accepted: true });
    const parts = { jobId: 't-again', person: ann, place: lounge, replyTo: {} };
    expect((await talk.conversation.askAgain(earlier, 'reroll', parts)).text).toBe(blocked);
    const remix = { prompt: 'rivers' };
    expect(await talk.conversation.askAgain(earlier, 'remix', parts, remix)).toMatchObject({
      accepted: true,
    });

    expect(await rules('words list')).toBe('Blocked words: 3\n/bl(oo|u)d+/\n"dark night"\ngore');
    expect(await rules('words remove GORE /bl(oo|u)d+/')).toContain('Blocked words: 1');
    expect(await rules('words remove gore')).toBe(en.admin.unchanged);
    expect(await ask({ options: { prompt: 'rivers of gore' } })).toMatchObject({ accepted: true });
    expect(await rules('words add /(/')).toContain('not understood');
    expect(await rules(`words add ${Array.from({ length: 100 }, (_, i) => `w${i}`).join(' ')}`)).toContain(
      '0 to 100 blocked words, not 101',
    );
    await rules(`words add ${Array.from({ length: 30 }, (_, i) => `w${i}`).join(' ')}`);
    expect(await rules('words list 3')).toMatch(/^Blocked words: 31 \(page 3 of 3\)\nw9$/);
    expect(await rules('words list 4')).toContain('from 1 to 3');
  });

  it('do not touch what was accepted before', async () => {
    await talk.ask('t-before', { place: lounge });
    await rules('channels allow 5');
    expect(await talk.ask('t-before', { place: lounge })).toMatchObject({
      accepted: false,
      isDuplicate: true,
      text: en.refusal.duplicate,
    });
    expect(await talk.harness.artifacts.hasImage('t-before')).toBe(true);
  });

  it('put videos behind a cover, also those that are made of them', async () => {
    await talk.harness.worker(talk.generate);
    await talk.harness.delivery();
    await ask();
    const open = await talk.delivered(`t-${count}`);
    await rules('spoiler on');
    await ask();
    const covered = await talk.delivered(`t-${count}`);
    const { artifacts } = talk.harness;
    const final = (entry: typeof open) => {
      if (!entry.artifact) throw new Error('no artifact');
      return talk.conversation.final(entry, {
        kind: 'video',
        artifact: entry.artifact,
        ...answerFiles(artifacts, entry.id),
        waitedMs: 0,
      });
    };
    expect(final(open)).not.toHaveProperty('isSpoiler');
    expect(final(covered)).toMatchObject({ isSpoiler: true });
    expect(await talk.conversation.transform(covered, 'loop', ann, 1e7)).toMatchObject({ isSpoiler: true });
  });

  it('are felt by other processes within the time that they are kept', async () => {
    const book = new RuleBook(store(), 500);
    const isSpoiler = async (): Promise<boolean> => {
      const found = await book.of('test:here');
      if (found === 'unavailable') throw new Error('unavailable');
      return found.isSpoiler;
    };
    expect(await isSpoiler()).toBe(false);
    await store().setRule(bob.userKey, 'test:here', ruleFields.spoiler, 'on');
    expect(await isSpoiler()).toBe(false);
    await sleep(600);
    expect(await isSpoiler()).toBe(true);
    await book.set(bob.userKey, 'test:here', ruleFields.spoiler, undefined);
    expect(await isSpoiler()).toBe(false);
  });

  it('cost one question to Redis, however many ask', async () => {
    let questions = 0;
    const book = new RuleBook({
      rulesOf: (community) => {
        questions++;
        return store().rulesOf(community);
      },
      setRule: () => Promise.reject(new Error('not here')),
    });
    await Promise.all(Array.from({ length: 100 }, () => book.of('test:here')));
    for (let i = 0; i < 100; i++) await book.of('test:here');
    expect(questions).toBe(1);
  });

  it('are called unavailable when no answer comes at all, and asked for again afterwards', async () => {
    let isStuck = true;
    const book = new RuleBook(
      {
        rulesOf: (community) => (isStuck ? new Promise(() => {}) : store().rulesOf(community)),
        setRule: () => Promise.reject(new Error('not here')),
      },
      50,
    );
    expect(await book.of('test:here')).toBe('unavailable');
    isStuck = false;
    expect(await book.of('test:here')).toMatchObject({ isSpoiler: false });
  });

  it('that are not understood let nobody through, and the words among them can go', async () => {
    const redis = talk.harness.server.connect();
    await redis.hset(hash(), 'word:/(/', 'on');
    expect(await ask()).toMatchObject({
      accepted: false,
      text: en.failure({ code: 'INTERNAL', message: '' }),
    });
    expect(await rules('words remove /(/')).toContain('Blocked words: 0');
    expect(await ask()).toMatchObject({ accepted: true });
    await redis.hset(hash(), 'curfew', '22:00');
    const other = talk.anotherProcess();
    const answer = await other.ask({
      jobId: 't-curfew',
      person: ann,
      place: lounge,
      picture: { ofJob: `t-${count}` },
      options: {},
      replyTo: {},
    });
    expect(answer).toMatchObject({ accepted: false, text: en.failure({ code: 'INTERNAL', message: '' }) });
  });

  it.each(['dead', 'frozen'])('are not passed over while Redis is %s, and nobody waits long', async (how) => {
    await rules('words add gore');
    await ask();
    const { server } = talk.harness;
    const fresh = talk.anotherProcess();
    const request = (jobId: string, place: Place) => ({
      jobId,
      person: ann,
      place,
      picture: { ofJob: 't-none' },
      options: { prompt: 'gore' },
      replyTo: {},
    });
    if (how === 'frozen') server.process.kill('SIGSTOP');
    else await server.stop();
    const startedAt = performance.now();
    const [known, unknown, words] = await Promise.all([
      talk.conversation.ask(request('t-known', lounge)),
      fresh.ask(request('t-unknown', lounge)),
      talk.conversation.ruleWords(moderator, lounge, ['show']),
    ]);
    expect(performance.now() - startedAt).toBeLessThan(4_000); // the promise, with a little for this machine
    // Whether it was accepted before the rule, nobody can say; nor whether there is a rule, where none was known.
    for (const answer of [known, unknown]) {
      expect(answer).toMatchObject({ accepted: false, text: en.refusal.unavailable });
    }
    expect(words).toBe(en.refusal.unavailable);
    if (how === 'dead') return;
    server.process.kill('SIGCONT');
    await expect
      .poll(async () => (await fresh.ask(request('t-after', lounge))).text, { timeout: 5_000 })
      .toBe(en.rules.refused.word('g…'));
  });
});
