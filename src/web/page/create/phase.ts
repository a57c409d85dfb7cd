/** What an unfinished video is at, in words. */
import type { Video } from '../api/types.ts';
import type { Sentences } from '../sentences/say.ts';

type Progress = Pick<Video, 'status' | 'phase' | 'step' | 'steps' | 'queue_position' | 'waits_for_model'>;

export function phaseOf(
  { status, phase, step, steps, queue_position, waits_for_model }: Progress,
  say: Sentences,
): string {
  switch (phase) {
    case 'loading':
    case 'encoding':
    case 'finishing':
      return say.status[phase];
    case 'denoising':
      return step !== null && steps ? say.live.step(step, steps) : say.status.encoding;
    case 'decoding':
      return say.status.decoding(step ?? 0, steps ?? 0);
    case null:
      if (status === 'in_progress') return say.status.finishing;
      if (waits_for_model) return say.status.stranded;
      return queue_position === null ? say.live.accepted : say.live.queued(queue_position);
  }
}
