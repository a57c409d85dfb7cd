/** Which model makes the video, where there are several, and what its licence is. */
import type { Studio } from '../api/types.ts';
import { useSay } from '../sentences/say.ts';
import { useStore } from '../state/store.ts';
import { chooseModel, draft } from './draft.ts';

export function ModelCards({ studio }: { studio: Studio | undefined }) {
  const say = useSay();
  const { model: text, preset } = say.create;
  const now = useStore(draft);
  const [first, ...others] = studio?.models ?? [];
  if (!first) return null;
  if (others.length === 0) {
    const { title, licence, attribution } = first;
    const lines = [title, text.licence(licence), ...(attribution === null ? [] : [attribution])];
    return <p class="hint">{lines.join(' · ')}</p>;
  }
  const chosen = now.model ?? first.id;
  return (
    <fieldset class="presets models">
      <legend class="field-label">{text.label}</legend>
      {[first, ...others].map(
        ({ id, title, licence, attribution, credits, size, num_frames, seconds_now }) => (
          <label key={id} class="preset">
            <input
              type="radio"
              name="model"
              value={id}
              checked={chosen === id}
              onChange={() => chooseModel(id === first.id ? undefined : id)}
            />
            <span class="preset-name">{title}</span>
            <span class="preset-credits numbers">{say.credits(credits)}</span>
            <span class="hint">{preset.about(num_frames, size)}</span>
            <span class="hint numbers">
              {seconds_now === null ? preset.unknown : preset.now(seconds_now * 1000)}
            </span>
            <span class="hint model-licence">{text.licence(licence)}</span>
            {attribution === null ? null : <span class="hint model-licence">{attribution}</span>}
          </label>
        ),
      )}
    </fieldset>
  );
}
