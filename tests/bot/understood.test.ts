/** What people read of the words that a model understood. */
import { describe, expect, it } from 'vitest';
import { motions as en } from '../../src/bot/sentences/motions-en.ts';
import { motions as zh } from '../../src/bot/sentences/motions-zh.ts';
import { sayUnderstood, understoodLine } from '../../src/bot/sentences/understood.ts';
import { type MotionKind, type MotionSpeed, motionKinds } from '../../src/request/motions.ts';
import type { UnderstoodMotion } from '../../src/request/understood.ts';

/** "zoom-out slow, snow" */
function parse(text: string): UnderstoodMotion[] {
  return text
    .split(', ')
    .filter((part) => part !== '')
    .map((part) => {
      const [motion, speed = 'normal'] = part.split(' ');
      return { motion: motion as MotionKind, speed: speed as MotionSpeed };
    });
}

describe('the line about what was understood', () => {
  it.each([
    ['zoom-out slow, snow', undefined, 'Understood: zoom out, slow; snow.', '识别到：拉远，慢；下雪。'],
    [
      'snow fast, rain slow',
      undefined,
      'Understood: snow, heavy; rain, light.',
      '识别到：下雪，强；下雨，轻。',
    ],
    ['static slow', undefined, 'Understood: static camera.', '识别到：镜头静止。'],
    ['zoom-in slow', undefined, 'Understood: zoom in, slow.', '识别到：推近，慢。'],
    [
      '',
      'zoom-in slow',
      'No motion was named, so it is a gentle push-in. Try "camera slowly zooming out".',
      '没有写出怎么动，所以镜头轻轻推近。可以试试“镜头缓缓拉远”。',
    ],
    [
      'waves',
      'zoom-in slow',
      'No water that could move was found in this picture: a gentle push-in instead.',
      '这张图里没有找到能动的水，改为镜头轻轻推近。',
    ],
    [
      'pan-left fast, waves',
      'pan-left fast',
      'Understood: pan left, fast. No water that could move was found in this picture.',
      '识别到：左移，快。 这张图里没有找到能动的水。',
    ],
    [
      'sway',
      'zoom-in slow',
      'No leaves or grass that could sway were found in this picture: a gentle push-in instead. ' +
        'Hair and cloth move where you paint them with a mask.',
      '这张图里没有找到能摇曳的草木，改为镜头轻轻推近。 头发和布料要用蒙版涂出来才会动。',
    ],
    [
      'sway, clouds slow',
      'zoom-in slow',
      'Not in this clip: swaying; drifting clouds: a gentle push-in instead.',
      '这段视频里没有：随风摇曳；云飘动，改为镜头轻轻推近。',
    ],
    [
      'wind-left',
      'zoom-in slow, wind-left',
      'Understood: wind to the left. Nothing else moves in it, so the camera gently pushes in.',
      '识别到：风向左吹。 没有别的在动，所以镜头轻轻推近。',
    ],
    // As where a negative prompt took it away.
    ['zoom-out', '', 'Not in this clip: zoom out.', '这段视频里没有：拉远。'],
  ])('asked for "%s", done "%s"', (asked, done, english, chinese) => {
    const understood = { asked: parse(asked), done: parse(done ?? asked) };
    expect(understoodLine(understood, en)).toBe(english);
    expect(understoodLine(understood, zh)).toBe(chinese);
  });

  it('has a part for the motions and one for the rest', () => {
    const understood = { asked: parse('rain, waves'), done: parse('rain') };
    expect(sayUnderstood(understood, en)).toEqual({
      motions: 'rain',
      note: 'No water that could move was found in this picture.',
    });
  });
});

describe('every motion', () => {
  it.each([
    ['English', en],
    ['Chinese', zh],
  ])('has a name and words of its own in %s', (_language, { names, words }) => {
    expect(Object.keys(names)).toEqual([...motionKinds]);
    expect(new Set(Object.values(names)).size).toBe(motionKinds.length);
    expect(new Set(Object.values(words)).size).toBe(motionKinds.length);
  });
});
