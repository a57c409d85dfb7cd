/** How far a running job is. */
import type { QueuedJob } from '../api/types.ts';
import { Progress } from '../parts/progress.tsx';
import { useSay } from '../sentences/say.ts';

export function JobProgress({ job }: { job: QueuedJob }) {
  const say = useSay();
  const { phase, step, steps, seconds_left: left } = job;
  const isCounted =
    step !== null && steps !== null && steps > 0 && (phase === 'denoising' || phase === 'decoding');
  const name = phase === null ? '' : say.machine.phases[phase];
  const text = isCounted ? `${name} ${step}/${steps}` : name;
  return (
    <span class="job-progress">
      <span class="numbers">
        {text}
        {left === null ? '' : ` · ${say.status.left(left * 1000)}`}
      </span>
      <Progress label={text} percent={isCounted ? (100 * step) / steps : undefined} />
    </span>
  );
}
