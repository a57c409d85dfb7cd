import { useId } from 'preact/hooks';
import { readSize } from '../../../request/sizes.ts';
import type { Studio } from '../api/types.ts';
import { Button, IconButton } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { Slider } from '../parts/slider.tsx';
import { useSay } from '../sentences/say.ts';
import { useStore } from '../state/store.ts';
import { changeDraft, chooseMotion, chooseValue, draft, type Values } from './draft.ts';
import { guidanceOf, motionBucketOf, type PresetInfo, presetOf, randomSeed, stepsOf } from './options.ts';
import type { Refusal } from './refusal.ts';

interface SettingsProps {
  readonly studio: Studio;
  readonly preset: PresetInfo;
  readonly errors: Refusal;
}

export function MoreSettings({ studio, errors }: { studio: Studio | undefined; errors: Refusal }) {
  const say = useSay();
  const { more } = say.create;
  const now = useStore(draft);
  const preset = studio && presetOf(now, studio);
  const { negative_prompt: _, ...chosen } = now.values;
  const changed = Object.keys(chosen).length;
  return (
    <details class="more">
      <summary>
        <Icon name="sliders" />
        <span>{more.label}</span>
        {changed > 0 ? <span class="badge">{more.changed(changed)}</span> : null}
        <Icon name="chevron" />
      </summary>
      {studio && preset ? (
        <div class="more-body">
          <Numbers {...{ studio, preset, errors }} />
          <Motion {...{ studio, preset, errors }} />
          <Seed {...{ studio, errors }} />
          <SpeedOptions {...{ studio, preset, errors }} />
          <fieldset class="switches-field">
            <legend class="field-label">{more.playback}</legend>
            <Switch name="loop" label={more.loop} />
            <Switch name="enable_frame_interpolation" label={more.smooth} />
          </fieldset>
          {changed > 0 ? (
            <Button kind="quiet" isSmall icon="undo" onClick={() => changeDraft({ values: {} })}>
              {more.reset}
            </Button>
          ) : null}
        </div>
      ) : null}
    </details>
  );
}

type NumberName =
  | 'num_frames'
  | 'num_inference_steps'
  | 'guidance_scale'
  | 'guidance_end'
  | 'motion_bucket_id'
  | 'noise_aug_strength'
  | 'fps';

interface NumberProps {
  readonly name: NumberName;
  readonly label: string;
  readonly value: number;
  readonly range: { readonly min: number; readonly max: number };
  readonly step?: number;
  readonly hint?: string;
  readonly errors: Refusal;
}

/** One slider of a number that the draft holds, or that its preset decides. */
function NumberOption({ name, label, value, range, step = 1, hint, errors }: NumberProps) {
  const { values } = useStore(draft);
  if (range.min >= range.max) return null;
  return (
    <Slider
      {...{ label, hint, value, step, ...range }}
      error={errors[name]}
      onChange={(next) => chooseValue(name, next)}
      onReset={values[name] === undefined ? undefined : () => chooseValue(name, undefined)}
    />
  );
}

function Numbers({ studio, preset, errors }: SettingsProps) {
  const say = useSay();
  const now = useStore(draft);
  const { ranges, ignored, defaults } = studio;
  const { labels } = say;
  return (
    <>
      <NumberOption
        name="num_inference_steps"
        label={labels.steps}
        value={stepsOf(now, preset, studio)}
        range={ranges.num_inference_steps}
        errors={errors}
      />
      {ignored.includes('guidance_scale') ? null : (
        <NumberOption
          name="guidance_scale"
          label={labels.guidance}
          value={guidanceOf(now, preset)}
          range={ranges.guidance_scale}
          step={0.1}
          errors={errors}
        />
      )}
      <SizeOption {...{ studio, preset, errors }} />
      <NumberOption
        name="num_frames"
        label={labels.frames}
        value={now.values.num_frames ?? preset.num_frames}
        range={ranges.num_frames}
        errors={errors}
      />
      <NumberOption
        name="fps"
        label={labels.fps}
        value={now.values.fps ?? defaults.fps ?? 8}
        range={ranges.fps}
        errors={errors}
      />
    </>
  );
}

function SizeOption({ studio: { size }, preset, errors }: SettingsProps) {
  const { more } = useSay().create;
  const { values } = useStore(draft);
  if (!size) return null;
  const asked = readSize(values.size ?? '');
  const side = asked ? Math.round(Math.sqrt(asked.width * asked.height)) : preset.size;
  const { multiple } = size;
  const min = Math.ceil(Math.max(size.side.min, Math.sqrt(size.pixels.min)) / multiple) * multiple;
  const max = Math.floor(Math.min(size.side.max, Math.sqrt(size.pixels.max)) / multiple) * multiple;
  return (
    <Slider
      label={more.size}
      hint={values.size?.includes('x') ? values.size.replace('x', ' × ') : more.sizeHint}
      value={side}
      {...{ min, max, step: multiple }}
      error={errors['size']}
      onChange={(next) => chooseValue('size', String(next))}
      onReset={values.size === undefined ? undefined : () => chooseValue('size', undefined)}
    />
  );
}

function Motion({ studio, preset, errors }: SettingsProps) {
  const { more } = useSay().create;
  const now = useStore(draft);
  const motion = now.values.motion ?? preset.motion;
  const bucket = motionBucketOf(now, preset, studio);
  const noise = now.values.noise_aug_strength ?? studio.defaults.noise_aug_strength;
  return (
    <>
      {studio.ignored.includes('motion') ? null : (
        <fieldset class="field">
          <legend class="field-label">{more.motion}</legend>
          <div class="segments">
            {studio.motion_levels.map((level) => (
              <label key={level} class="segment">
                <input
                  type="radio"
                  name="motion"
                  checked={motion === level}
                  onChange={() => chooseMotion(level === preset.motion ? undefined : level)}
                />
                <span>{more.levels[level]}</span>
              </label>
            ))}
          </div>
        </fieldset>
      )}
      {bucket === undefined ? null : (
        <NumberOption
          name="motion_bucket_id"
          label={more.motionBucket}
          hint={more.motionBucketHint}
          value={bucket}
          range={studio.ranges.motion_bucket_id}
          errors={errors}
        />
      )}
      {noise === null ? null : (
        <NumberOption
          name="noise_aug_strength"
          label={more.noiseAug}
          hint={more.noiseAugHint}
          value={noise}
          range={studio.ranges.noise_aug_strength}
          step={0.01}
          errors={errors}
        />
      )}
    </>
  );
}

function Seed({ studio, errors }: Omit<SettingsProps, 'preset'>) {
  const { more } = useSay().create;
  const { values } = useStore(draft);
  const id = useId();
  return (
    <div class="field">
      <label class="field-label" for={id}>
        {more.seed}
      </label>
      <div class="seed">
        <input
          id={id}
          class="input numbers"
          inputMode="numeric"
          value={values.seed === undefined ? '' : String(values.seed)}
          aria-describedby={`${id}-hint`}
          aria-invalid={errors['seed'] ? true : undefined}
          onInput={(event) => {
            const digits = event.currentTarget.value.replace(/\D/g, '');
            chooseValue('seed', digits === '' ? undefined : Math.min(Number(digits), studio.ranges.seed.max));
          }}
        />
        <IconButton icon="dice" label={more.dice} onClick={() => chooseValue('seed', randomSeed())} />
      </div>
      <p class={errors['seed'] ? 'field-error' : 'hint'} id={`${id}-hint`}>
        {errors['seed'] ?? more.seedHint}
      </p>
    </div>
  );
}

function SpeedOptions({ studio, errors }: SettingsProps) {
  const { more } = useSay().create;
  const { values } = useStore(draft);
  const { schedulers, defaults, ignored, ranges } = studio;
  const scheduler = values.scheduler ?? defaults.scheduler;
  return (
    <>
      {schedulers.length > 1 ? (
        <fieldset class="field">
          <legend class="field-label">{more.scheduler}</legend>
          <div class="segments">
            {schedulers.map(({ name }) => (
              <label key={name} class="segment">
                <input
                  type="radio"
                  name="scheduler"
                  checked={scheduler === name}
                  onChange={() =>
                    chooseValue(
                      'scheduler',
                      name === defaults.scheduler ? undefined : (name as Values['scheduler']),
                    )
                  }
                />
                <span>{name === 'ddim' ? 'DDIM' : name === 'dpm++2m' ? 'DPM++ 2M' : name}</span>
              </label>
            ))}
          </div>
        </fieldset>
      ) : null}
      {ignored.includes('guidance_end') ? null : (
        <NumberOption
          name="guidance_end"
          label={more.guidanceEnd}
          hint={more.guidanceEndHint}
          value={values.guidance_end ?? defaults.guidance_end}
          range={ranges.guidance_end}
          step={0.05}
          errors={errors}
        />
      )}
      {ignored.includes('feature_reuse') ? null : (
        <Slider
          label={more.featureReuse}
          hint={more.featureReuseHint}
          value={values.feature_reuse ?? defaults.feature_reuse}
          min={1}
          max={3}
          error={errors['feature_reuse']}
          onChange={(next) => chooseValue('feature_reuse', next)}
          onReset={
            values.feature_reuse === undefined ? undefined : () => chooseValue('feature_reuse', undefined)
          }
        />
      )}
    </>
  );
}

function Switch({ name, label }: { name: 'loop' | 'enable_frame_interpolation'; label: string }) {
  const { values } = useStore(draft);
  return (
    <label class="switch">
      <input
        type="checkbox"
        role="switch"
        checked={values[name] ?? false}
        aria-checked={values[name] ?? false}
        onChange={(event) => chooseValue(name, event.currentTarget.checked || undefined)}
      />
      <span>{label}</span>
    </label>
  );
}
