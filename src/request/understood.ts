/** What a model understood of a prompt. A pack that names its motions tells it for each clip. */
import { z } from 'zod';
import { motionKinds, motionSpeeds } from './motions.ts';

const understoodMotions = z.array(z.object({ motion: z.enum(motionKinds), speed: z.enum(motionSpeeds) }));

/** Named by a prompt, and in the clip: a model does not do what does not fit the picture, and never nothing at all. */
export const understoodSchema = z.object({
  asked: understoodMotions.describe('What the prompt asked for, as far as the model understood it.'),
  done: understoodMotions.describe(
    'What was done: a gentle push-in where nothing was asked for, or nothing fitted.',
  ),
});
export type Understood = z.infer<typeof understoodSchema>;
export type UnderstoodMotion = Understood['asked'][number];
