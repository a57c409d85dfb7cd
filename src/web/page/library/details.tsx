/** Everything that a clip was made with, to read and to copy. */
import { sayUnderstood } from '../../../bot/sentences/understood.ts';
import type { Video } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { CopyButton, copyText } from '../parts/copy.tsx';
import { type Sentences, useSay } from '../sentences/say.ts';
import { timeText } from './time.ts';

interface Row {
  readonly name: string;
  /** As it is shown. */
  readonly text: string;
  /** As it is copied, where that is not the same. */
  readonly value?: string;
}

/** What is known of the clip; what the model leaves out is not named. */
function rowsOf(clip: Video, say: Sentences): Row[] {
  const { labels, clip: words, clips } = say;
  const { fields } = words;
  const numbers = (value: number | null): string | undefined => (value === null ? undefined : String(value));
  const factor = clip.interpolation_factor;
  const took = clip.timings?.['total'];
  const rows: readonly (readonly [string, string | null | undefined, string?])[] = [
    [labels.prompt, clip.prompt],
    [say.motions.label, understoodText(clip, say)],
    [labels.negative, clip.negative_prompt],
    [labels.preset, clip.preset],
    [labels.seed, String(clip.seed)],
    [labels.model, clip.model],
    [fields.size, clip.size.replace('x', ' × '), clip.size],
    [fields.seconds, clip.seconds && words.lengthOf(clip.seconds), clip.seconds],
    [labels.frames, numbers(clip.num_frames)],
    [labels.fps, numbers(clip.fps)],
    [labels.steps, numbers(clip.num_inference_steps)],
    [labels.guidance, numbers(clip.guidance_scale)],
    [labels.motion, clip.motion],
    [fields.motionBucket, numbers(clip.motion_bucket_id)],
    [fields.noiseAug, numbers(clip.noise_aug_strength)],
    [labels.variation, numbers(clip.variation_strength)],
    [labels.loop, clip.loop ? words.yes : undefined],
    [labels.smooth, factor > 1 ? `×${factor}` : undefined, String(factor)],
    [fields.scheduler, clip.scheduler],
    [fields.guidanceEnd, clip.guidance_end === 1 ? undefined : numbers(clip.guidance_end)],
    [fields.featureReuse, clip.feature_reuse === 1 ? undefined : numbers(clip.feature_reuse)],
    [fields.credits, say.credits(clip.credits), String(clip.credits)],
    [fields.surface, clips.surfaces[clip.surface] ?? clip.surface],
    [fields.device, clip.device],
    [fields.took, took === undefined ? undefined : say.duration(took)],
    [fields.created, timeText(clip.created_at)],
    [fields.completed, clip.completed_at === null ? undefined : timeText(clip.completed_at)],
    [fields.id, clip.id],
  ];
  return rows.flatMap(([name, text, value]) => (text ? [{ name, text, ...(value ? { value } : {}) }] : []));
}

function understoodText({ understood }: Video, { motions: words }: Sentences): string | undefined {
  if (!understood) return undefined;
  const { motions, note } = sayUnderstood(understood, words);
  return motions && note ? words.and(motions, note) : motions || note;
}

export function Details({ clip }: { clip: Video }) {
  const say = useSay();
  const words = say.clip;
  const rows = rowsOf(clip, say);
  const all = rows.map(({ name, text }) => `${name}: ${text}`).join('\n');
  return (
    <section class="clip-details" aria-labelledby="details">
      <div class="clip-section-head">
        <h2 id="details">{words.details}</h2>
        <Button isSmall kind="quiet" icon="copy" onClick={() => void copyText(all, words.allSettings)}>
          {words.copyAll}
        </Button>
      </div>
      <dl>
        {rows.map(({ name, text, value = text }) => (
          <div class="clip-row" key={name}>
            <dt>{name}</dt>
            <dd>
              <span class="clip-value">{text}</span>
              <CopyButton text={value} what={name} label={words.copy(name)} />
            </dd>
          </div>
        ))}
      </dl>
      <Timings clip={clip} />
    </section>
  );
}

function Timings({ clip: { timings } }: { clip: Video }) {
  const say = useSay();
  const { stages, timings: title } = say.clip;
  const known = Object.entries(stages).flatMap(([stage, name]) => {
    const ms = timings?.[stage];
    return ms === undefined || ms < 1 ? [] : [{ stage, name, ms }];
  });
  if (known.length === 0) return null;
  const most = Math.max(...known.map(({ ms }) => ms));
  return (
    <details class="clip-timings">
      <summary>{title}</summary>
      <dl>
        {known.map(({ stage, name, ms }) => (
          <div class="clip-timing" key={stage}>
            <dt>{name}</dt>
            <dd>
              <span class="numbers">{(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s</span>
              <meter min={0} max={most} value={ms} aria-label={name} />
            </dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
