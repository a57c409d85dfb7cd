/** Several models in Discord: offered while there are several, completed as somebody types, and refused by name. */
import { afterEach, expect, it } from 'vitest';
import { Models } from '../../../src/bot/models.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import type { PackManifest } from '../../../src/inference/packs/manifest.ts';
import { Keys } from '../../../src/queue/keys.ts';
import { Ledger } from '../../../src/queue/ledger.ts';
import { tellOfModels } from '../../../src/queue/models.ts';
import { redisTime } from '../../../src/queue/redis.ts';
import { photo, Stage } from '../../helpers/discord-stage.ts';
import { tinyPackPath } from '../../helpers/golden.ts';
import { TestRedis } from '../../helpers/redis-server.ts';

let stage: Stage | undefined;
afterEach(async () => {
  await stage?.stop();
  stage = undefined;
});

/** Two models of one worker, which are the same but in name. */
async function begin(): Promise<Stage> {
  stage = await Stage.start({ generate: 'nobody' });
  const { manifest } = await loadPack(tinyPackPath);
  const models: PackManifest[] = [
    { ...manifest, id: 'plain-1', title: 'Plain' },
    { ...manifest, id: 'moving-pictures-2', title: 'Moving pictures', licence: 'of its own' },
  ];
  const told = models.map((model) => [model.id, JSON.stringify(model)] as const);
  await tellOfModels(stage.redis.connect(), new Keys(), new Map(told));
  await stage.startWorker(
    stage.clips(),
    models.map(({ id }) => id),
  );
  return stage;
}

const offersModels = ({ server }: Stage): boolean =>
  JSON.stringify(server.commands()).includes('"name":"model"');

it('are offered as soon as there is more than one, with what they cost', async () => {
  const { server, ada, channel } = await begin();
  await server.until(() => stage && offersModels(stage));
  const all = await ada.completes('/animate', { model: '' }, 'model', { channel });
  expect(all).toMatchObject([
    { name: 'Plain · 1 credit', value: 'plain-1' },
    { name: 'Moving pictures · 1 credit', value: 'moving-pictures-2' },
  ]);
  const some = await ada.completes('/animate', { model: 'PICT' }, 'model', { channel });
  expect(some).toMatchObject([{ value: 'moving-pictures-2' }]);
});

it('make what they are asked for; one that nobody has is refused by name', async () => {
  const { server, ada, channel, redis } = await begin();
  await server.until(() => stage && offersModels(stage));
  const asked = ada.runs('/animate', { image: photo, model: 'moving-pictures-2' }, { channel });
  const shown = await stage?.video(asked);
  expect(shown?.attachments).toHaveLength(1);
  const names = await redis.connect().keys('{kinora}:job:*');
  const ledger = new Ledger(redis.connect());
  const [entry] = await ledger.readAll(names.map((name) => name.slice('{kinora}:job:'.length)));
  expect(entry).toMatchObject({ model: 'moving-pictures-2', request: { model: 'moving-pictures-2' } });
  // The form of a remix offers them, too.
  const pressed = ada.presses(shown ?? expect.fail('no video'), 'Remix');
  const form = await server.until(() => pressed.modal());
  const again = ada.submits(form, { prompt: 'waves', model: ['plain-1'] });
  const other = await stage?.video(again);
  expect(other?.text).toContain('"waves"');
  const models = async (): Promise<(string | undefined)[]> => {
    const ids = await redis.connect().keys(new Keys().job('*'));
    const entries = await ledger.readAll(ids.map((key) => key.slice(new Keys().job('').length)));
    return entries.map((one) => one.model).sort();
  };
  expect(await models()).toEqual(['moving-pictures-2', 'plain-1']);
  const refused = ada.runs('/animate', { image: photo, model: 'gone-3' }, { channel });
  await stage?.said(refused, /No worker has the model "gone-3" now; there are plain-1, moving-pictures-2\./);
});

it('are offered while no worker is heard of, as after Redis was away, and not beside those that live', async () => {
  const redis = await TestRedis.start();
  try {
    const [look, keys] = [redis.connect(), new Keys()];
    const { manifest } = await loadPack(tinyPackPath);
    const told = ['plain-1', 'other-2'].map((id) => [id, JSON.stringify({ ...manifest, id })] as const);
    await tellOfModels(look, keys, new Map(told));
    const worker = (id: string, beatAt: number) => {
      const entry = { beatAt, pid: 1, host: 'elsewhere', jobId: null, device: 'cpu', models: [id] };
      return look.hset(keys.workers, id, JSON.stringify(entry));
    };
    const models = new Models([manifest]);
    const offered = async (): Promise<string[]> => {
      await models.look(look, keys);
      return models.offered.map(({ id }) => id);
    };
    expect(await offered()).toEqual([manifest.id]);
    const now = await redisTime(look);
    await worker('plain-1', now - 60_000);
    expect(await offered()).toEqual(['plain-1']);
    await worker('other-2', now);
    expect(await offered()).toEqual(['other-2']);
  } finally {
    await redis.stop();
  }
});
