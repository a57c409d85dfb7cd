import type { Studio } from '../api/types.ts';
import { useSay } from '../sentences/say.ts';
import { useStore } from '../state/store.ts';
import { changeDraft, draft } from './draft.ts';
import { presetOf } from './options.ts';

/** Until the first answer, cards without numbers keep the place. */
const names = ['fast', 'standard', 'high', 'creative'] as const;

export function PresetCards({ studio }: { studio: Studio | undefined }) {
  const say = useSay();
  const { preset: text } = say.create;
  const now = useStore(draft);
  const chosen = studio && presetOf(now, studio)?.name;
  return (
    <fieldset class="presets">
      <legend class="field-label">{text.label}</legend>
      {names.map((name) => {
        const preset = studio?.presets.find((one) => one.name === name);
        return (
          <label key={name} class="preset">
            <input
              type="radio"
              name="preset"
              value={name}
              checked={chosen === name}
              onChange={() => changeDraft({ preset: name })}
            />
            <span class="preset-name">{text.names[name]}</span>
            <span class="preset-credits numbers">{preset ? say.credits(preset.credits) : ' '}</span>
            <span class="hint">{preset ? text.about(preset.num_frames, preset.size) : ' '}</span>
            <span class="hint numbers">
              {!preset
                ? ' '
                : preset.seconds_now === null
                  ? text.unknown
                  : text.now(preset.seconds_now * 1000)}
            </span>
          </label>
        );
      })}
    </fieldset>
  );
}
