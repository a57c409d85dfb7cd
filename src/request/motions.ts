/** Motions by their names, which a model pack may say that it knows. Imports nothing: it goes into a browser. */

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

/** What any model may be asked for: motions of the camera, and the commonest of what a picture shows. */
const generalMotions = motionKinds.slice(0, motionKinds.indexOf('clouds'));

/** What people are offered, by what the model says that it knows. */
export function offeredMotions(known: readonly MotionKind[] | undefined): readonly MotionKind[] {
  return known ?? generalMotions;
}

/** Of weather: light, normal, heavy. */
export const motionSpeeds = ['slow', 'normal', 'fast'] as const;
export type MotionSpeed = (typeof motionSpeeds)[number];

/** Words by which models know them. English is what all models know best. */
export const motionWords: Readonly<Record<MotionKind, string>> = {
  'zoom-in': 'camera slowly zooming in',
  'zoom-out': 'camera slowly zooming out',
  'pan-left': 'camera panning left',
  'pan-right': 'camera panning right',
  'tilt-up': 'camera tilting up',
  'tilt-down': 'camera tilting down',
  'rotate-cw': 'camera rotating clockwise',
  'rotate-ccw': 'camera rotating counterclockwise',
  static: 'static camera',
  waves: 'waves rolling',
  sway: 'swaying gently in the wind',
  clouds: 'clouds drifting',
  snow: 'snow falling',
  rain: 'rain falling',
  fog: 'fog drifting',
  leaves: 'leaves falling',
  petals: 'petals falling',
  embers: 'embers rising',
  fireflies: 'fireflies glowing',
  dust: 'dust floating in the light',
  bokeh: 'bokeh lights drifting',
  bubbles: 'bubbles rising',
  steam: 'steam rising',
  flicker: 'candlelight flickering',
  rays: 'rays of light',
  lightning: 'lightning flashing',
  dusk: 'dusk falling',
  'wind-left': 'wind blowing to the left',
  'wind-right': 'wind blowing to the right',
};
