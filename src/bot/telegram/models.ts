/**
 * Models on buttons. The id of one is too long for what a button carries beside a job, so a mark made of it stands there:
 * the same after a restart, and whatever other models come and go.
 */
import { createHash } from 'node:crypto';
import type { InlineKeyboardMarkup } from 'telegraf/types';
import { jobIdSchema } from '../../queue/jobs.ts';
import type { Messages } from '../sentences/catalogue.ts';
import type { OfferedModel } from '../sentences/en.ts';
import { inert } from './rendering.ts';

const markLength = 8;

export function markOf(model: string): string {
  return createHash('sha256').update(model).digest('hex').slice(0, markLength);
}

export function markedModel(mark: string, models: readonly OfferedModel[]): OfferedModel | undefined {
  return models.find(({ id }) => markOf(id) === mark);
}

export interface AgainButton {
  readonly mark: string;
  readonly jobId: string;
}

export function parseAgainButton(data: string): AgainButton | undefined {
  const [, mark, id] = /^model:(\w+):(.+)$/.exec(data) ?? [];
  const jobId = jobIdSchema.safeParse(id);
  return mark !== undefined && jobId.success ? { mark, jobId: jobId.data } : undefined;
}

/** One button for each other model than that of the job, which has it made again; undefined where there is none. */
export function againButtons(
  jobId: string,
  ownModel: string | undefined,
  models: readonly OfferedModel[],
  { models: words }: Messages,
): InlineKeyboardMarkup | undefined {
  const others = models.filter(({ id }) => id !== ownModel);
  if (others.length === 0) return undefined;
  return {
    inline_keyboard: others.map(({ id, title }) => [
      { text: inert(words.again(title)), callback_data: `model:${markOf(id)}:${jobId}` },
    ]),
  };
}
