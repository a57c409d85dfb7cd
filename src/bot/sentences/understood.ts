/** What people read of the words that a model understood, in the language of a catalogue. Goes into a browser, too. */
import type { MotionKind, MotionSpeed } from '../../request/motions.ts';
import type { Understood, UnderstoodMotion } from '../../request/understood.ts';
import type { motions } from './motions-en.ts';

export type MotionSentences = typeof motions;

/** Of these there is much or little; the others are slow or fast. */
const amounts: ReadonlySet<MotionKind> = new Set([
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
]);

/**
 * "zoom out, slow; snow" where something was asked for and done, and a sentence where the clip moves otherwise than it was
 * asked for. Each is '' where there is nothing to say.
 */
export function sayUnderstood(
  { asked, done }: Understood,
  say: MotionSentences,
): { readonly motions: string; readonly note: string } {
  const has = (list: readonly UnderstoodMotion[], kind: MotionKind): boolean =>
    list.some(({ motion }) => motion === kind);
  if (asked.length === 0) return { motions: '', note: say.nothingNamed(say.words['zoom-out']) };
  const isPushIn = has(done, 'zoom-in') && !has(asked, 'zoom-in');
  const motions = listOf(
    done.filter(({ motion }) => has(asked, motion)),
    say,
  );
  const unfit = asked.flatMap(({ motion }) => (has(done, motion) ? [] : [motion]));
  if (unfit.length === 0) return { motions, note: isPushIn ? say.nothingElse : '' };
  const note = (isPushIn ? say.pushInInstead : say.leftOut)(lackFor(unfit, say));
  return { motions, note: unfit.length === 1 && unfit[0] === 'sway' ? `${note} ${say.paintSoft}` : note };
}

/** The same as one line. */
export function understoodLine(understood: Understood, say: MotionSentences): string {
  const { motions, note } = sayUnderstood(understood, say);
  return [...(motions ? [say.understood(motions)] : []), ...(note ? [note] : [])].join(' ');
}

function listOf(understood: readonly UnderstoodMotion[], say: MotionSentences): string {
  return together(
    understood.map(({ motion, speed }) => {
      const name = say.names[motion];
      const strength = strengthOf(motion, speed, say);
      return strength === undefined ? name : say.withStrength(name, strength);
    }),
    say,
  );
}

function strengthOf(motion: MotionKind, speed: MotionSpeed, say: MotionSentences): string | undefined {
  if (speed === 'normal' || motion === 'static') return undefined;
  if (amounts.has(motion)) return speed === 'slow' ? say.light : say.heavy;
  return say[speed];
}

function lackFor(unfit: readonly MotionKind[], say: MotionSentences): string {
  const [only] = unfit;
  if (unfit.length === 1 && (only === 'waves' || only === 'sway' || only === 'clouds')) {
    return say.noPlace[only];
  }
  const names = unfit.map((motion) => say.names[motion]);
  return say.notIn(together(names, say));
}

function together([first = '', ...others]: readonly string[], say: MotionSentences): string {
  return others.reduce(say.and, first);
}
