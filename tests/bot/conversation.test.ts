import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RuleBook } from '../../src/bot/admin/rules.ts';
import { actions, buttonId, parseButtonId } from '../../src/bot/buttons.ts';
import { Models } from '../../src/bot/models.ts';
import type { Person } from '../../src/bot/people.ts';
import { failed, refused } from '../../src/bot/refusals.ts';
import { Requests } from '../../src/bot/requests.ts';
import { en } from '../../src/bot/sentences/en.ts';
import { renderProgress, renderRefusal, renderRequest } from '../../src/bot/sentences/render.ts';
import { zh } from '../../src/bot/sentences/zh.ts';
import type { Answer } from '../../src/bot/upkeep/delivery.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { JobClient } from '../../src/queue/client.ts';
import { RuleStore } from '../../src/queue/community-rules.ts';
import type { Artifact } from '../../src/queue/jobs.ts';
import type { IgnorableOption } from '../../src/request/ignorable-options.ts';
import type { MotionKind } from '../../src/request/motions.ts';
import { parseWords } from '../../src/request/options-text.ts';
import type { ChatOptions } from '../../src/request/request.ts';
import { ann, bob, here, mei, pictureBytes, root, Talk } from '../helpers/conversation-fixture.ts';
import { tinyPackPath } from '../helpers/golden.ts';
import { answerFiles, filesOf } from '../helpers/job-files.ts';
import { log, openTerms } from '../helpers/queue-harness.ts';
import { svdManifest } from '../helpers/svd-manifest.ts';
import { ffprobe } from '../helpers/video-fixture.ts';

let talk: Talk;
afterEach(async () => {
  await talk.stop();
});

describe('asking', () => {
  beforeEach(async () => {
    talk = await Talk.start({ limits: { ...openTerms.limits, user: 2, credits: 3 } });
  });

  it('is answered with the place, the cost and a button to cancel', async () => {
    const answer = await talk.ask('t-1', { options: parseWords('waves rolling seed=7 preset=fast loop') });
    expect(answer).toEqual({
      accepted: true,
      text: 'Accepted. Yours is next.\nCosts 1 credit; 2 left today.',
      buttons: [{ action: 'cancel', jobId: 't-1', label: 'Cancel' }],
    });
    const { request } = await talk.entry('t-1');
    expect(request.generation).toEqual({
      prompt: 'waves rolling',
      preset: 'fast',
      seed: 7,
      loop: true,
      maxBytes: 9_500_000,
    });
    expect(request).toMatchObject({
      userKey: 'test:ann',
      communityKey: 'test:here',
      locale: 'en-US',
      replyTo: { chat: 1 },
    });
    expect(await readFile(filesOf(talk.harness.artifacts, 't-1').image)).toEqual(await pictureBytes());
    expect((await talk.ask('t-2', { person: bob })).text).toContain('1 job before yours');
  });

  it('needs no prompt and draws a seed', async () => {
    await talk.ask('t-1', { options: { prompt: undefined } });
    await talk.ask('t-2', { options: { prompt: undefined } });
    const [first, second] = [await talk.entry('t-1'), await talk.entry('t-2')];
    expect(first.request.generation).toMatchObject({ prompt: '', preset: 'standard' });
    expect(first.request.generation.seed).not.toBe(second.request.generation.seed);
  });

  it('comes with a tip, and a word about animations, where they apply', async () => {
    const answer = await talk.ask('t-1', {
      options: { prompt: 'amazing' },
      picture: await pictureBytes('animated.png'),
    });
    expect(answer.text.split('\n').slice(2)).toEqual([en.status.firstFrame, en.help.vague('amazing')]);
    const waiting = await talk.conversation.waiting(await talk.entry('t-1'));
    expect(waiting?.text).toContain(en.help.vague('amazing'));
    const chinese = await talk.ask('t-2', { person: mei, options: { prompt: '慢慢推近' } });
    expect(chinese.text).toBe('已接受，前面还有 1 个任务。\n消耗 1 点，今天还剩 2 点。');
  });

  it('says what the video will not show of the picture, in words of the person', async () => {
    const { client, artifacts } = talk.services;
    const rules = new RuleBook(new RuleStore(talk.admin.trail));
    const { manifest } = await loadPack(tinyPackPath);
    const requests = new Requests({
      client,
      artifacts,
      rules,
      day: openTerms.day,
      models: new Models([manifest]),
      log,
    });
    const picture = async (width: number, height: number) => {
      const create = { width, height, channels: 3, background: '#208040' } as const;
      return await sharp({ create }).png().toBuffer();
    };
    const ask = async (jobId: string, person: Person, bytes: Uint8Array) =>
      await requests.submit({ jobId, person, place: here, replyTo: {}, picture: bytes, options: {} });
    const cut = await ask('c-1', ann, await picture(200, 10));
    if (cut.kind !== 'accepted' || !cut.cut) throw new Error('nothing was cut');
    expect(cut.cut).toEqual({ of: 'width', percent: expect.any(Number) });
    const { percent } = cut.cut;
    expect(renderRequest(cut, en).text).toContain(
      `${percent} % of the picture's width is cut off, left and right.`,
    );
    expect(renderRequest(cut, zh).text).toContain(`图片左右共裁去宽度的 ${percent}%。`);
    const whole = await ask('c-2', bob, await picture(100, 100));
    expect(whole).toMatchObject({ kind: 'accepted', cut: undefined });
  });

  it('leaves tips to a model that tells what it understood, and offers the motions that it knows', async () => {
    const { client, artifacts } = talk.services;
    const rules = new RuleBook(new RuleStore(talk.admin.trail));
    const loaded = await loadPack(tinyPackPath);
    const motions: MotionKind[] = ['snow', 'zoom-out'];
    const manifest = { ...loaded.manifest, motions };
    const tools = { client, artifacts, rules, day: openTerms.day, log };
    const [silent, telling] = [loaded.manifest, manifest].map(
      (pack) => new Requests({ ...tools, models: new Models([pack]) }),
    );
    if (!silent || !telling) throw new Error('both are there');
    expect(silent.tipFor('Schnee')).toEqual({ kind: 'noMotion' });
    expect(telling.tipFor('Schnee')).toBeUndefined();
    expect(en.helpText.captions(telling.offered)).toContain('Motions: snow, zoom out; slow or fast.');
    expect(zh.helpText.commands(telling.offered)).toContain('可用的运动：下雪、拉远；');
    expect(en.helpText.commands(silent.offered)).toContain('static camera, waves, swaying; slow or fast.');
    const picture = await pictureBytes('orientation-1.jpg');
    const asked = {
      jobId: 's-1',
      person: ann,
      place: here,
      replyTo: {},
      picture,
      options: { prompt: 'amazing' },
    };
    expect(await telling.submit(asked)).toMatchObject({ kind: 'accepted', tip: undefined });
  });

  it('leaves out what the model ignores, and says so', async () => {
    const { client, artifacts } = talk.services;
    const rules = new RuleBook(new RuleStore(talk.admin.trail));
    const loaded = await loadPack(tinyPackPath);
    const ignoredOptions: IgnorableOption[] = ['negativePrompt', 'guidanceScale'];
    const manifest = { ...loaded.manifest, ignoredOptions };
    const requests = new Requests({
      client,
      artifacts,
      rules,
      day: openTerms.day,
      models: new Models([manifest]),
      log,
    });
    expect(requests.offered).toMatchObject({ negative: false, guidance: false });
    const picture = await pictureBytes('orientation-1.jpg');
    const ask = async (jobId: string, person: Person, options: ChatOptions) =>
      await requests.submit({ jobId, person, place: here, replyTo: {}, picture, options });
    const asked = await ask('i-1', ann, { prompt: 'waves', negativePrompt: 'rain', guidanceScale: 2 });
    if (asked.kind !== 'accepted') throw new Error('refused');
    const { generation } = asked.job.request;
    expect(generation).not.toHaveProperty('negativePrompt');
    expect(generation).not.toHaveProperty('guidanceScale');
    expect(renderRequest(asked, en).text).toContain(en.status.ignored('Negative prompt'));
    expect(renderRequest(asked, zh).text).toContain(zh.status.ignored('引导强度'));
    const plain = await ask('i-2', bob, { prompt: 'waves' });
    expect(plain).toMatchObject({ kind: 'accepted', ignored: [] });
  });

  it('tells once those who describe something to a model that looks only at the picture', async () => {
    const { client, artifacts } = talk.services;
    const rules = new RuleBook(new RuleStore(talk.admin.trail));
    const moderator = { ...ann, isModerator: true };
    await talk.conversation.ruleWords(moderator, here, ['words', 'add', 'gore']);
    const models = new Models([svdManifest()]);
    const requests = new Requests({ client, artifacts, rules, day: openTerms.day, models, log });
    const picture = await pictureBytes('orientation-1.jpg');
    const ask = async (jobId: string, person: Person, options: ChatOptions) =>
      await requests.submit({ jobId, person, place: here, replyTo: {}, picture, options });
    const words = { prompt: 'waves', camera: 'zoom-in', negativePrompt: 'rain', motion: 'high' } as const;
    const told = await ask('v-1', ann, words);
    if (told.kind !== 'accepted') throw new Error('refused');
    expect(told.job.request.generation).toMatchObject({ prompt: '', motion: 'high' });
    expect(told.job.request.generation).not.toHaveProperty('negativePrompt');
    expect(told.tip).toBeUndefined();
    expect(renderRequest(told, en).text.split(en.status.looksOnly)).toHaveLength(2);
    expect(renderRequest(told, en).text).not.toContain(en.status.ignored('Negative prompt'));
    expect(renderRequest(told, zh).text).toContain(zh.status.looksOnly);
    const silent = await ask('v-2', bob, { motion: 'high' });
    if (silent.kind !== 'accepted') throw new Error('refused');
    expect(renderRequest(silent, en).text).not.toContain(en.status.looksOnly);
    expect(silent.cost).toBe(told.cost);

    // Words that it does not read stand in the chat all the same.
    const blocked = await ask('v-3', bob, { prompt: 'gore' });
    expect(renderRequest(blocked, en).text).toBe(en.rules.refused.word('g…'));
    const negative = await ask('v-4', bob, { negativePrompt: 'gore' });
    expect(renderRequest(negative, en).text).toBe(en.rules.refused.word('g…'));
    expect(await talk.client.ledger.read('v-3')).toBeUndefined();

    expect(requests.offered).toMatchObject({ prompt: false, camera: false, negative: false, motions: [] });
    for (const help of [en.helpText.captions(requests.offered), en.helpText.commands(requests.offered)]) {
      expect(help).toContain(en.status.looksOnly);
      expect(help).not.toContain('words about the motion');
      expect(help).toMatch(/Powered by Stability AI$/);
    }
    expect(zh.helpText.captions(requests.offered)).toContain('Powered by Stability AI');
  });

  it('twice is one job', async () => {
    await talk.ask('t-1');
    const again = await talk.ask('t-1');
    expect(again).toEqual({ accepted: false, isDuplicate: true, text: en.refusal.duplicate, buttons: [] });
    expect(await talk.harness.artifacts.hasImage('t-1')).toBe(true);
    expect(await talk.harness.creditsUsed()).toBe(1);
  });

  it('twice is not refused by a rule made since where Redis does not tell of the job', async () => {
    await talk.ask('t-1', { options: parseWords('gore') });
    await talk.conversation.ruleWords({ ...ann, isModerator: true }, here, ['words', 'add', 'gore']);
    const { server, keys, artifacts } = talk.harness;
    await server.connect().call('ACL', 'SETUSER', 'blind', 'on', '>p', '~*', '&*', '+@all', '-hgetall');
    const redis = server.failFast();
    await redis.call('AUTH', 'blind', 'p');
    const client = new JobClient(redis, openTerms, log, keys);
    const rules = new RuleBook(new RuleStore(talk.admin.trail));
    const models = new Models([]);
    const requests = new Requests({ client, artifacts, rules, day: openTerms.day, models, log });
    const again = { jobId: 't-1', person: ann, place: here, replyTo: {}, options: { prompt: 'gore' } };
    const answer = await requests.submit({ ...again, picture: await pictureBytes('orientation-1.jpg') });
    await client.close();
    expect(answer).toEqual(refused('unavailable'));
  });

  it.each([
    ['photo.heic', /HEIC/],
    ['drawing.svg', /JPEG, PNG or WebP/],
    ['bitmap.bmp', /BMP/],
    ['truncated.png', /damaged/],
    ['truncated.jpg', /damaged/],
    ['truncated.webp', /damaged/],
    ['empty.jpg', /./],
  ])('with %s is refused with what to send instead', async (name, words) => {
    const answer = await talk.ask('t-1', { picture: await pictureBytes(name) });
    expect(answer).toMatchObject({ accepted: false, buttons: [] });
    expect(answer.text).toMatch(words);
    expect(await talk.client.ledger.read('t-1')).toBeUndefined();
    expect(await talk.harness.artifacts.hasImage('t-1')).toBe(false);
  });

  it('for what is out of range is refused with the range', async () => {
    const long = await talk.ask('t-1', { options: { prompt: 'a'.repeat(1001) } });
    expect(long).toMatchObject({ accepted: false, text: expect.stringMatching(/at most 1000/) });
    let refusal = '';
    try {
      parseWords('waves frames=99');
    } catch (error) {
      refusal = renderRefusal(failed(error).reason, zh);
    }
    expect(refusal).toBe('帧数必须是 1 到 96 之间的整数。请改正后再试。');
    expect(await talk.harness.creditsUsed()).toBe(0);
  });

  it('is refused by every rule of the queue with its own sentence, and leaves no picture', async () => {
    await talk.ask('t-1');
    await talk.ask('t-2');
    expect((await talk.ask('t-3')).text).toBe(en.refusal.userFull(2));
    await talk.conversation.cancel('t-1', ann);
    await talk.conversation.cancel('t-2', ann);
    await talk.admin.quotas.setCredits('test:root', { kind: 'user', key: 'test:ann' }, 0);
    expect((await talk.ask('t-3')).text).toBe(en.refusal.quota({ used: 0, limit: 0, granted: 0, cost: 1 }));
    await talk.admin.bans.ban(
      'test:root',
      { kind: 'user', key: 'test:bob' },
      {
        untilMs: Date.UTC(2030, 0, 2, 3, 4),
        reason: 'spam',
      },
    );
    expect((await talk.ask('t-3', { person: bob })).text).toBe(
      'You cannot use Kinora until 2030-01-02 03:04 UTC: spam.',
    );
    await talk.admin.mode.pause('test:root');
    expect((await talk.ask('t-3', { person: mei })).text).toBe(zh.refusal.paused);
    expect(await talk.harness.artifacts.hasImage('t-3')).toBe(false);
  });

  it('fetches no picture for whoever is refused, and leaves no folder', async () => {
    let fetched = 0;
    const ask = (person: Person, id: string) =>
      talk.ask(id, {
        person,
        picture: async () => {
          fetched++;
          return await pictureBytes();
        },
      });
    // Far more at once than one person may have: two are fetched, the others find no place.
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => ask(ann, `a-${i}`)));
    expect(answers.filter(({ accepted }) => accepted)).toHaveLength(2);
    expect(fetched).toBe(2);
    fetched = 0;
    const { bans, mode, quotas } = talk.admin;
    await bans.ban('test:root', { kind: 'user', key: 'test:bob' }, { reason: 'spam' });
    expect((await ask(bob, 'b-1')).text).toContain('spam');
    await quotas.setCredits('test:root', { kind: 'user', key: 'test:mei' }, 0);
    expect((await ask(mei, 'm-1')).accepted).toBe(false);
    await mode.pause('test:root');
    expect((await ask(root, 'r-1')).text).toBe(en.refusal.paused);
    await bans.ban('test:root', { kind: 'community', key: 'test:here' }, { reason: 'spam' });
    expect((await ask(root, 'r-2')).accepted).toBe(false);
    expect(fetched).toBe(0);
    expect((await readdir(join(talk.harness.folder, 'jobs'))).sort()).toEqual(['a-0', 'a-1']);
  });

  it('holds few pictures in memory at once, whoever asks', async () => {
    let inMemory = 0;
    let most = 0;
    const ask = (n: number) =>
      talk.ask(`p-${n}`, {
        person: { ...ann, userKey: `test:person-${n}` },
        picture: async () => {
          inMemory += 1;
          most = Math.max(most, inMemory);
          await sleep(20);
          inMemory -= 1;
          return await pictureBytes();
        },
      });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => ask(n)));
    expect(answers.filter(({ accepted }) => accepted)).toHaveLength(20);
    expect(most).toBe(8);
  });

  it('while Redis is dead is answered, and keeps the picture of a job that Redis may know', async () => {
    await talk.ask('t-1');
    await talk.harness.server.stop();
    const startedAt = performance.now();
    const answer = await talk.ask('t-1');
    expect(answer).toMatchObject({ accepted: false, text: en.refusal.unavailable });
    expect(performance.now() - startedAt).toBeLessThan(4_000); // the promise, with a little for this machine
    expect(await talk.harness.artifacts.hasImage('t-1')).toBe(true);
    expect(await talk.conversation.open('t-1', ann, 'reroll')).toBe(en.refusal.unavailable);
    expect(await talk.conversation.cancel('t-1', ann)).toBe(en.refusal.unavailable);
    expect(await talk.conversation.queue(ann)).toBe(en.refusal.unavailable);
    expect((await talk.conversation.me(ann, here)).text).toBe(en.refusal.unavailable);
    expect(await talk.conversation.adminWords(root, ['stats'])).toBe(en.refusal.unavailable);
  });
});

describe('what is left of a job', () => {
  beforeEach(async () => {
    talk = await Talk.start();
    await talk.harness.delivery();
    await talk.harness.worker((entry, files, tools) => talk.generate(entry, files, tools));
  });
  const ask = { person: ann, place: here, replyTo: { chat: 2 } };

  it('may be opened by its person and admins, its settings by everybody unless it was private', async () => {
    await talk.ask('t-1');
    await talk.ask('t-2', { options: { isPrivate: true } });
    const { conversation } = talk;
    expect(await conversation.open('t-1', ann, 'reroll')).toMatchObject({ id: 't-1' });
    expect(await conversation.open('t-1', root, 'delete')).toMatchObject({ id: 't-1' });
    for (const action of actions.filter((name) => name !== 'settings')) {
      expect(await conversation.open('t-1', bob, action)).toBe(en.refusal.notYours);
    }
    expect(await conversation.open('t-1', bob, 'settings')).toMatchObject({ id: 't-1' });
    expect(await conversation.open('t-2', bob, 'settings')).toBe(en.refusal.notYours);
    expect(await conversation.open('t-2', mei, 'settings')).toBe(zh.refusal.notYours);
    expect(await conversation.open('t-none', ann, 'settings')).toBe(en.refusal.gone);
    expect(await conversation.open('../t-1', ann, 'settings')).toBe(en.refusal.gone);
    await talk.harness.server.connect().hset(talk.harness.keys.job('t-1'), 'request', '{"version":9}');
    expect(await conversation.open('t-1', ann, 'settings')).toBe(en.refusal.gone);
  });

  it('is made again: with a new seed, with a new prompt, or near the earlier video', async () => {
    const options = parseWords('waves rolling seed=7 guidance=5 frames=8 motion=low negative="blurry" loop');
    await talk.ask('t-1', { options: { ...options, isPrivate: true } });
    const entry = await talk.delivered('t-1');
    const kept = { guidanceScale: 5, numFrames: 8, motion: 'low', negativePrompt: 'blurry', loop: true };
    const again = async (
      id: string,
      action: 'reroll' | 'remix' | 'subtle' | 'strong',
      changes = {},
      from = entry,
    ) => {
      const answer = await talk.conversation.askAgain(from, action, { ...ask, jobId: id }, changes);
      expect(answer.accepted).toBe(true);
      const { request } = await talk.entry(id);
      expect(request.generation).toMatchObject(kept);
      expect(request.madeFrom).toEqual({ jobId: from.id, by: action });
      expect(await readFile(filesOf(talk.harness.artifacts, id).image)).toEqual(await pictureBytes());
      return request;
    };
    const reroll = await again('t-2', 'reroll');
    expect(reroll.generation.prompt).toBe('waves rolling');
    expect(reroll.generation.seed).not.toBe(7);
    expect(reroll).toMatchObject({ replyTo: { chat: 2 }, isPrivate: true });

    const remix = await again('t-3', 'remix', { prompt: 'zoom in' });
    expect(remix.generation).toMatchObject({ prompt: 'zoom in', seed: 7 });
    expect((await again('t-4', 'remix', { camera: 'static', seed: 9 })).generation).toMatchObject({
      prompt: 'waves rolling, static camera',
      seed: 9,
    });
    expect(await again('t-5', 'remix', { isPrivate: false })).toMatchObject({ isPrivate: false });

    const subtle = await again('t-6', 'subtle');
    expect(subtle.generation).toMatchObject({ variation: { videoId: 'v-t-1', strength: 0.35 } });
    expect(subtle.generation.seed).not.toBe(7);
    const strong = await again('t-7', 'strong', {}, await talk.delivered('t-6'));
    expect(strong.generation).toMatchObject({ variation: { videoId: 'v-t-6', strength: 0.7 } });
    expect((await again('t-8', 'reroll', {}, await talk.delivered('t-7'))).generation).not.toHaveProperty(
      'variation',
    );
  });

  it('stays under the cover that its picture had, and so does all that is made of it', async () => {
    await talk.ask('t-1', { isCovered: true });
    const covered = await talk.delivered('t-1');
    expect(covered.request.isSpoiler).toBe(true);
    expect(await talk.conversation.transform(covered, 'loop', ann, 1e7)).toMatchObject({ isSpoiler: true });
    for (const action of ['reroll', 'remix', 'subtle', 'strong'] as const) {
      await talk.conversation.askAgain(covered, action, { ...ask, jobId: `t-${action}` });
      expect((await talk.entry(`t-${action}`)).request.isSpoiler).toBe(true);
    }
    await talk.ask('t-2');
    expect((await talk.entry('t-2')).request.isSpoiler).toBe(false);
  });

  it('is named by what its person makes of it, and not by what an admin makes', async () => {
    await talk.ask('t-1');
    const entry = await talk.delivered('t-1');
    await talk.conversation.askAgain(entry, 'remix', { ...ask, jobId: 't-2', person: root });
    expect((await talk.entry('t-2')).request.madeFrom).toBeUndefined();
  });

  it('says what a later one reused, and what that saved', async () => {
    talk.report = { timings: { encodeText: 400, encodeImage: 2_000, denoise: 9_000, total: 12_000 } };
    await talk.ask('t-1', { options: { seed: 7 } });
    const first = await talk.delivered('t-1');
    const final = (entry: typeof first) =>
      talk.conversation.final(entry, {
        kind: 'video',
        artifact: entry.artifact,
        ...answerFiles(talk.harness.artifacts, entry.id),
        waitedMs: 0,
      } as Answer);
    expect(final(first).text).toBe('"waves rolling" · seed 7 · standard · made in 12 s · 1 credit');
    expect(final(first).buttons.map(({ action }) => action)).toEqual(actions.slice(1));

    talk.report = {
      timings: { encodeText: 400, encodeImage: 10, denoise: 3_000, total: 4_000 },
      cache: { hits: ['image', 'video'], misses: ['prompt'] },
      isCompressed: true,
    };
    await talk.conversation.askAgain(first, 'subtle', { ...ask, jobId: 't-2' });
    const second = await talk.delivered('t-2');
    expect(final(second).text.split('\n').slice(1)).toEqual([
      'Reused from before: what the model saw in the picture, the earlier video; saved 8.0 s.',
      en.result.compressed,
    ]);
    // Its own encoding took nothing: what was saved is measured against the one that did it.
    talk.report = { timings: { encodeText: 0, encodeImage: 10 }, cache: { hits: ['image'], misses: [] } };
    await talk.conversation.askAgain(second, 'remix', { ...ask, jobId: 't-3' });
    expect(final(await talk.delivered('t-3')).text).toContain('saved 2.4 s');

    const waves = [{ motion: 'waves', speed: 'fast' } as const];
    talk.report = { understood: { asked: waves, done: waves } };
    await talk.ask('t-5', { person: mei });
    expect(
      final(await talk.delivered('t-5'))
        .text.split('\n')
        .slice(1),
    ).toEqual(['识别到：水波，快。']);

    talk.report = { cache: { hits: ['image'], misses: [] } };
    await talk.ask('t-4', { options: { prompt: '浪'.repeat(900) }, person: mei });
    const { text } = final(await talk.delivered('t-4'));
    expect(text.length).toBeLessThan(500);
    expect(text).toMatch(/浪…”.*种子.*沿用了之前的计算：对图片的分析。/s);
  });

  it('says that memory made it smaller, and a variation of it is as small', async () => {
    talk.report = { reducedTo: 'fast', width: 512, height: 320 };
    await talk.ask('t-1', { options: { preset: 'high', numFrames: 6 }, person: mei });
    const first = await talk.delivered('t-1');
    const { artifact } = first as { artifact: Artifact };
    const files = answerFiles(talk.harness.artifacts, first.id);
    const { text } = talk.conversation.final(first, { kind: 'video', artifact, ...files, waitedMs: 0 });
    expect(text).toContain(' · fast · ');
    expect(text).toContain(zh.result.reduced('fast'));
    await talk.conversation.askAgain(first, 'subtle', { ...ask, jobId: 't-2' });
    const { generation } = (await talk.delivered('t-2')).request;
    expect(generation).toMatchObject({
      preset: 'fast',
      size: '512x320',
      numFrames: 6,
      numInferenceSteps: 30,
    });
    await talk.conversation.askAgain(first, 'reroll', { ...ask, jobId: 't-3' });
    const again = (await talk.delivered('t-3')).request.generation;
    expect(again).toMatchObject({ preset: 'high', numFrames: 6 });
    expect(again).not.toHaveProperty('size');
  });

  it('becomes smooth or a loop, as a file that plays, and not twice at a time', async () => {
    await talk.ask('t-1');
    const entry = await talk.delivered('t-1');
    const { conversation } = talk;
    const results = await Promise.all([
      conversation.transform(entry, 'smooth', ann, 1_000_000),
      conversation.transform(entry, 'smooth', ann, 1_000_000),
      conversation.transform(entry, 'loop', mei, 1_000_000),
    ]);
    const files = results.map((result) => (typeof result === 'string' ? result : result.file));
    expect(ffprobe(files[0] ?? '').stream).toMatchObject({ nb_read_frames: 22 });
    expect(ffprobe(files[2] ?? '').stream).toMatchObject({ nb_read_frames: 14 });
    expect(results[0]).toMatchObject({ text: en.result.smoothed });
    expect(results[2]).toMatchObject({ text: zh.result.looped });
    expect(await conversation.transform(entry, 'loop', ann, 10)).toMatch(/./);
    await conversation.remove(entry);
    expect(await conversation.open('t-1', ann, 'settings')).toBe(en.refusal.gone);
    expect(await conversation.transform(entry, 'loop', ann, 1_000_000)).toBe(en.refusal.gone);
    const again = await conversation.askAgain(entry, 'reroll', { ...ask, jobId: 't-2' });
    expect(again).toMatchObject({ accepted: false, text: en.refusal.gone });
  });

  it('shows settings that make the same again', async () => {
    await talk.ask('t-1', { options: parseWords('waves rolling seed=7 guidance=5 loop negative="a, b"') });
    const entry = await talk.delivered('t-1');
    const text = talk.conversation.settings(entry, ann);
    expect(text).toMatch(/^Settings of this video\nPrompt: waves rolling\n/);
    const words = text.split('\n').at(-1) ?? '';
    expect(words).toBe('/animate waves rolling preset=standard seed=7 guidance=5 negative="a, b" loop');
    await talk.ask('t-2', { options: parseWords(words) });
    expect((await talk.entry('t-2')).request.generation).toEqual(entry.request.generation);
  });

  it('is answered in its language, private and covered, also when version 0.1 wrote it', async () => {
    await talk.ask('t-1', { person: mei });
    const { request } = await talk.delivered('t-1');
    const { locale: _, isPrivate: __, isSpoiler: ___, ...fields } = request;
    const old = { locale: 'zh-CN', isPrivate: true, isSpoiler: true, encodingMs: 2_000, denoiseMs: 9_000 };
    const stored = JSON.stringify({ ...fields, replyTo: { chat: 1, ...old } });
    await talk.harness.server.connect().hset(talk.harness.keys.job('t-1'), 'request', stored);
    const entry = await talk.entry('t-1');
    expect(entry.request).toMatchObject({ earlier: { encodingMs: 2_000, denoiseMs: 9_000 } });
    const { artifact } = entry as { artifact: Artifact };
    const files = answerFiles(talk.harness.artifacts, 't-1');
    const final = talk.conversation.final(entry, { kind: 'video', artifact, ...files, waitedMs: 0 });
    expect(final).toMatchObject({ isSpoiler: true, text: expect.stringContaining('种子') });
    expect(await talk.conversation.open('t-1', bob, 'settings')).toBe(en.refusal.notYours);
  });

  it('is deleted when its person wants that', async () => {
    await talk.ask('t-1');
    await talk.delivered('t-1');
    expect(en.privacy.text(talk.services.account.retentionDays)).toContain('30 days');
    expect(await talk.conversation.forget(ann)).toBe(en.privacy.deleted(1));
    expect(await talk.conversation.open('t-1', ann, 'settings')).toBe(en.refusal.gone);
    expect(await talk.harness.artifacts.hasImage('t-1')).toBe(false);
  });
});

describe('commands', () => {
  beforeEach(async () => {
    talk = await Talk.start({ limits: { ...openTerms.limits, credits: 20 } });
  });

  it('/me shows credits and jobs, oldest first, to be cancelled', async () => {
    const { conversation } = talk;
    expect((await conversation.me(ann, here)).text).toBe(
      'Credits: 0 of 20 used today.\nYou have no jobs in the queue.\nYour id: test:ann',
    );
    await talk.admin.quotas.grant('test:root', 'test:ann', 3);
    for (let i = 1; i <= 12; i++) {
      await talk.ask(`t-${i}`, { options: { prompt: i === 1 ? `🌊${'long '.repeat(30)}` : `wave ${i}` } });
    }
    const { text, buttons } = await conversation.me(ann, here);
    const lines = text.split('\n');
    expect(lines.slice(0, 2)).toEqual(['Credits: 12 of 20 used today, 3 extra.', 'Your jobs:']);
    expect(lines[2]).toMatch(/^• waiting: 🌊long .{30,60}…$/u);
    expect(lines[3]).toBe('• waiting: wave 2');
    expect(lines.slice(-2)).toEqual(['… and 2 more.', 'Your id: test:ann']);
    expect(buttons).toHaveLength(5);
    expect(buttons[1]).toEqual({ action: 'cancel', jobId: 't-2', label: 'Cancel: wave 2' });
    expect((await conversation.me(bob, here)).buttons).toEqual([]);
    expect((await conversation.me(mei, here)).text).toBe(
      '点数：今天已用 0 / 20。\n你没有排队中的任务。\n你的编号：test:mei',
    );
  });

  it('/queue shows what waits, and where one stands', async () => {
    const { conversation } = talk;
    expect(await conversation.queue(ann)).toBe(en.queue.empty);
    await talk.ask('t-1');
    await talk.ask('t-2', { person: bob });
    expect(await conversation.queue(bob)).toBe('2 jobs waiting, 0 running.\nYours: 1 job before it.');
    await talk.admin.mode.pause('test:root');
    expect(await conversation.queue(mei)).toBe('Kinora 已暂停。\n2 个任务在排队，0 个正在生成。');
    await talk.admin.mode.drain('test:root');
    expect(await conversation.queue(ann)).toMatch(/^Kinora takes no new jobs/);
  });

  it('cancel is for one’s own jobs, and for admins', async () => {
    const { conversation } = talk;
    await talk.ask('t-1');
    await talk.ask('t-2');
    expect(await conversation.cancel('t-1', bob)).toBe(en.refusal.notYours);
    expect(await conversation.cancel('t-1', ann)).toBe(en.status.cancelling);
    expect(await conversation.cancel('t-1', ann)).toBe(en.refusal.finished);
    expect(await conversation.cancel('t-2', root)).toBe(en.status.cancelling);
    expect(await conversation.cancel('t-3', ann)).toBe(en.refusal.gone);
    expect(await conversation.cancel('*', ann)).toBe(en.refusal.gone);
  });

  it('of admins are for admins only', async () => {
    const { conversation } = talk;
    expect(await conversation.adminWords(ann, ['pause'])).toBe(en.refusal.notAdmin);
    expect(await talk.admin.mode.current()).toBe('running');
    expect(await conversation.adminWords(root, ['pause'])).toBe(en.admin.done);
    expect(await conversation.adminWords(root, ['quota', 'set', 'test:ann', '-1'])).toMatch(/0 to 1000000/);
  });
});

describe('words', () => {
  beforeEach(async () => {
    talk = await Talk.start();
  });

  it.each([
    '@everyone <@123> <@&5> [x](http://a.b) **bold** `code`',
    'seed=1 <script>alert(1)</script>',
    '‮evil\u202e \u200b',
    'a'.repeat(1000),
  ])('of a person stay what they are: %s', async (prompt) => {
    // Adapters escape; here nothing is added, lost, or understood.
    await talk.ask('t-1', { options: { prompt } });
    const entry = await talk.entry('t-1');
    expect(entry.request.generation.prompt).toBe(prompt.trim());
    expect((await talk.conversation.me(ann, here)).text.split('\n')).toHaveLength(4);
    expect(talk.conversation.settings(entry, ann)).toContain(`Prompt: ${prompt.trim()}\n`);
  });

  it('cannot begin a line of their own', async () => {
    await talk.ask('t-1', { options: { prompt: 'a\n/ban everyone\r\n\u2028b' } });
    expect((await talk.entry('t-1')).request.generation.prompt).toBe('a /ban everyone b');
  });

  it('of a running job follow its progress', () => {
    const show = (
      phase: 'loading' | 'encoding' | 'denoising' | 'decoding' | 'finishing',
      done = 0,
      leftMs?: number,
    ) =>
      renderProgress(
        {
          type: 'progress',
          jobId: 't-1',
          phase,
          done,
          total: 24,
          ...(leftMs === undefined ? {} : { leftMs }),
        },
        en,
      );
    expect(show('loading').text).toBe('Loading the model…');
    expect(show('denoising', 6, 90_000)).toEqual({
      text: '▰▰▰▱▱▱▱▱▱▱▱▱ step 6/24 · about 1 min 30 s left',
      buttons: [{ action: 'cancel', jobId: 't-1', label: 'Cancel' }],
    });
    expect(show('denoising', 24, 0).text).toBe('▰▰▰▰▰▰▰▰▰▰▰▰ step 24/24');
    expect(show('denoising', 30).text).toContain('▰▰▰▰▰▰▰▰▰▰▰▰ step');
    expect(show('decoding', 4).text).toBe('Turning it into frames… 4/24');
    expect(show('finishing').text).toBe('Writing the video…');
  });

  it('of an end without a video say why, and that nothing was charged', async () => {
    await talk.ask('t-1', { person: mei });
    const entry = await talk.entry('t-1');
    const chinese = talk.conversation.final(entry, {
      kind: 'failure',
      failure: { code: 'OUT_OF_MEMORY', message: 'x' },
    });
    expect(chinese).toEqual({
      text: `${zh.failure({ code: 'OUT_OF_MEMORY', message: 'x' })} ${zh.result.refunded}`,
      buttons: [],
    });
    expect(talk.conversation.final(entry, { kind: 'cancelled' }).text).toBe(zh.result.cancelled);
    expect(renderRefusal(failed(new Error('/srv/secret')).reason, en)).not.toContain('secret');
  });

  it('of buttons fit into 64 bytes and are read back', () => {
    const jobId = 'tg--1001234567890123-2147483647';
    for (const action of actions) {
      const id = buttonId({ action, jobId });
      expect(Buffer.byteLength(id)).toBeLessThanOrEqual(64);
      expect(parseButtonId(id)).toEqual({ action, jobId });
    }
    for (const id of ['', 'dance:t-1', 'cancel', 'cancel:', ':t-1'])
      expect(parseButtonId(id)).toBeUndefined();
  });
});
