/** Answers that a person would miss: reasons where Discord deletes nothing, and videos that came by an edit. */
import { afterEach, describe, expect, it } from 'vitest';
import { photo, Stage, type StageOptions } from '../../helpers/discord-stage.ts';

const stages: Stage[] = [];
afterEach(async () => {
  for (const stage of stages.splice(0)) await stage.stop();
});

async function begin(options: StageOptions = {}): Promise<Stage> {
  const stage = await Stage.start(options);
  stages.push(stage);
  return stage;
}

const svg = { ...photo, bytes: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>') };
const poor = { terms: { limits: { queue: 10, user: 5, community: 5, credits: 1 } } };
const picture = { image: photo, prompt: 'waves' };

describe('a refusal whose public message cannot be deleted', () => {
  const noDeletes = { method: 'DELETE', route: '/webhooks/', times: 100 };

  it.each([{ status: 500 }, { status: 403 }, { status: 'reset' }] as const)(
    'becomes the reason ($status)',
    async ({ status }) => {
      const stage = await begin({ generate: 'nobody' });
      stage.server.fail({ ...noDeletes, status });
      const asked = stage.ada.runs('/animate', { image: svg }, { channel: stage.channel });
      await stage.said(asked, /SVG/);
      expect(asked.original?.text).toMatch(/SVG/);
      expect(stage.server.transcript()).not.toMatch(/went wrong/);
    },
  );

  it('is told to the person alone when a moderator was faster', async () => {
    const stage = await begin({ generate: 'nobody' });
    const { server, ada, root, channel } = stage;
    const held = server.fail({ route: '/ephemeral-attachments', status: 'held' });
    const asked = ada.runs('/animate', { image: svg }, { channel });
    await server.until(() => held.hits === 1 && asked.original);
    if (asked.original) root.deletes(asked.original);
    held.release();
    expect((await stage.said(asked, /SVG/)).ephemeral).toBe(true);
    expect(server.transcript()).not.toMatch(/went wrong/);
  });

  it('becomes the reason under a button, too', async () => {
    const stage = await begin(poor);
    const { server, ada, channel } = stage;
    const shown = await stage.video(ada.runs('/animate', picture, { channel }));
    const trouble = server.fail({ ...noDeletes, status: 500 });
    const again = ada.presses(shown, 'Re-roll');
    await stage.said(again, /credits/);
    expect(server.transcript()).not.toMatch(/went wrong/);
    expect(again.followUps.map(({ text }) => /credits/.test(text))).toEqual([true]);
    // The files are gone, so the video must not stay.
    ada.presses(shown, 'Delete');
    await server.until(() => shown.text === 'Deleted.');
    expect(shown.attachments).toEqual([]);
    expect(shown.pressables).toEqual([]);
    trouble.lift();
  });
});
