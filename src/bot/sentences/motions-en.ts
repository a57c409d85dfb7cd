/** English names of motions, and what people read of those that a model understood. Goes into a browser, too. */
import { type MotionKind, motionWords } from '../../request/motions.ts';

const names: Readonly<Record<MotionKind, string>> = {
  'zoom-in': 'zoom in',
  'zoom-out': 'zoom out',
  'pan-left': 'pan left',
  'pan-right': 'pan right',
  'tilt-up': 'tilt up',
  'tilt-down': 'tilt down',
  'rotate-cw': 'rotate clockwise',
  'rotate-ccw': 'rotate counterclockwise',
  static: 'static camera',
  waves: 'waves',
  sway: 'swaying',
  clouds: 'drifting clouds',
  snow: 'snow',
  rain: 'rain',
  fog: 'fog',
  leaves: 'falling leaves',
  petals: 'falling petals',
  embers: 'embers',
  fireflies: 'fireflies',
  dust: 'dust in the light',
  bokeh: 'bokeh',
  bubbles: 'bubbles',
  steam: 'steam',
  flicker: 'flickering light',
  rays: 'rays of light',
  lightning: 'lightning',
  dusk: 'dusk',
  'wind-left': 'wind to the left',
  'wind-right': 'wind to the right',
};

export const motions = {
  names,
  /** What a prompt says to get them, for a model that tells what it understood. */
  words: motionWords,
  slow: 'slow',
  fast: 'fast',
  light: 'light',
  heavy: 'heavy',
  withStrength: (motion: string, strength: string) => `${motion}, ${strength}`,
  and: (first: string, second: string) => `${first}; ${second}`,
  understood: (motions: string) => `Understood: ${motions}.`,
  /** In a list of what a clip was made with. */
  label: 'Understood',
  nothingNamed: (example: string) => `No motion was named, so it is a gentle push-in. Try "${example}".`,
  nothingElse: 'Nothing else moves in it, so the camera gently pushes in.',
  /** What lacks in a picture for a motion to fit it; the last two end it. */
  noPlace: {
    waves: 'No water that could move was found in this picture',
    sway: 'No leaves or grass that could sway were found in this picture',
    clouds: 'No sky where clouds could drift was found in this picture',
  },
  /** After the lack of leaves and grass: what people ask to have blown is often neither. */
  paintSoft: 'Hair and cloth move where you paint them with a mask.',
  notIn: (motions: string) => `Not in this clip: ${motions}`,
  pushInInstead: (lack: string) => `${lack}: a gentle push-in instead.`,
  leftOut: (lack: string) => `${lack}.`,
};
