/**
 * Motions by their names: those that a model pack may say it knows, and those that it understood of a prompt. A pack that
 * names its motions tells for each clip which of them were asked for and which it did.
 */
import { z } from 'zod';

/** Of the camera, of what the picture shows, of weather and light, and of the wind that steers them. */
export const motionKinds = [
  'zoom-in',
  'zoom-out',
  'pan-left',
  'pan-right',
  'tilt-up',
  'tilt-down',
  'rotate-cw',
  'rotate-ccw',
  'static',
  'waves',
  'sway',
  'clouds',
  'snow',
  'rain',
  'fog',
  'leaves',
  'petals',
  'embers',
  'fireflies',
  'dust',
  'bokeh',
  'bubbles',
  'steam',
  'flicker',
  'rays',
  'lightning',
  'dusk',
  'wind-left',
  'wind-right',
] as const;
export type MotionKind = (typeof motionKinds)[number];

/** Of weather: light, normal, heavy. */
const motionSpeeds = ['slow', 'normal', 'fast'] as const;
export type MotionSpeed = (typeof motionSpeeds)[number];

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
