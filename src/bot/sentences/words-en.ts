/** English sentences that are the same in chats and on the studio page. Imports only types: they go into a browser. */
import type { Cut } from '../../request/sizes.ts';

export const jobs = (count: number): string => (count === 1 ? '1 job' : `${count} jobs`);
export const credits = (count: number): string => (count === 1 ? '1 credit' : `${count} credits`);

/** 90_000 → "1 min 30 s". */
export function duration(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

export const buttons = {
  cancel: 'Cancel',
  reroll: 'Re-roll',
  remix: 'Remix',
  subtle: 'Vary subtle',
  strong: 'Vary strong',
  extend: 'Extend',
  settings: 'Settings',
  smooth: 'Smooth ×3',
  loop: 'Loop',
  delete: 'Delete',
};

/** While a job waits and runs. */
export const status = {
  next: 'Accepted. Yours is next.',
  stranded:
    'Accepted. No worker has the model of this video just now: it waits until one comes that has, or you cancel it.',
  waiting: (ahead: number) => `Accepted. ${jobs(ahead)} before yours.`,
  /** Behind another sentence, with the space that the language has there. */
  quiet: (ms: number) => ` The machine has quiet hours and goes on in ${duration(ms)}.`,
  readyIn: (ms: number) => ` Ready in about ${duration(ms)}.`,
  left: (ms: number) => `about ${duration(ms)} left`,
  loading: 'Loading the model…',
  encoding: 'Looking at the picture…',
  denoising: (bar: string, done: number, total: number) => `${bar} step ${done}/${total}`,
  decoding: (done: number, total: number) => `Turning it into frames… ${done}/${total}`,
  finishing: 'Writing the video…',
  ignored: (option: string) => `This model takes no notice of “${option}”; it is left out and costs nothing.`,
  looksOnly:
    'This model looks only at your picture; it does not read descriptions. motion=low, medium or high decides how much moves.',
  firstFrame: 'The picture is animated; only its first frame is used.',
  cut: ({ of, percent }: Cut) =>
    of === 'width'
      ? `${percent} % of the picture's width is cut off, left and right.`
      : `${percent} % of the picture's height is cut off, above and below.`,
  cancelling: 'Stopping…',
  cost: (cost: number, left: number) => `Costs ${credits(cost)}; ${left} left today.`,
};

/** One line under the acceptance, only when it applies. */
export const help = {
  vague: (word: string) =>
    `Tip: "${word}" says nothing about motion; name what moves and how, like "camera slowly zooming in".`,
  noMotion: 'Tip: say what moves, like "waves rolling" or "pan left".',
  text: 'Tip: text in pictures tends to wobble; choose low motion.',
  language: 'Tip: prompts in English work best.',
};

/** Names of options, and of what a video was made with. */
export const labels = {
  prompt: 'Prompt',
  negative: 'Negative prompt',
  preset: 'Preset',
  seed: 'Seed',
  motion: 'Motion',
  frames: 'Frames',
  steps: 'Steps',
  guidance: 'Guidance',
  fps: 'Frames per second',
  size: 'Size',
  loop: 'Loop',
  smooth: 'Smooth',
  variation: 'Variation',
  model: 'Model',
};
