import { useEffect, useId, useState } from 'preact/hooks';
import { type PromptTip, promptTip } from '../../../request/prompt-tip.ts';
import type { Studio } from '../api/types.ts';
import { Icon } from '../parts/icon.tsx';
import { type Sentences, useSay } from '../sentences/say.ts';
import { useStore } from '../state/store.ts';
import { changeDraft, chooseValue, draft } from './draft.ts';
import { guidanceOf, hasWords, presetOf, toggleWords } from './options.ts';
import type { Refusal } from './refusal.ts';

/** Long enough that nobody is corrected while they write. */
const adviceAfterMs = 900;

export function PromptField({ studio, errors }: { studio: Studio | undefined; errors: Refusal }) {
  const { create, motions } = useSay();
  const { prompt: text } = create;
  const now = useStore(draft);
  const id = useId();
  const tip = useTip(now.prompt, studio);
  const error = errors['prompt'];
  if (studio?.ignored.includes('prompt')) return <p class="hint">{text.unread}</p>;
  return (
    <div class="prompt-field">
      <div class="field">
        <label class="field-label" for={id}>
          {text.label}
        </label>
        <textarea
          id={id}
          class="input"
          rows={2}
          maxLength={1000}
          placeholder={text.placeholder}
          value={now.prompt}
          aria-invalid={error ? true : undefined}
          aria-describedby={`${id}-tip`}
          onInput={(event) => changeDraft({ prompt: event.currentTarget.value })}
        />
      </div>
      <fieldset class="chips">
        <legend class="hidden">{text.chips}</legend>
        {(studio?.motions ?? []).map(({ name, prompt }) => (
          <Chip
            key={name}
            name={motions.names[name]}
            // A model that tells of its motions reads them in the languages of this page.
            words={studio?.tells_understood ? motions.words[name] : prompt}
          />
        ))}
      </fieldset>
      <div class="advice" id={`${id}-tip`} aria-live="polite">
        {error ? (
          <p class="field-error" role="alert">
            {error}
          </p>
        ) : tip ? (
          <Advice tip={tip} />
        ) : now.prompt.trim() === '' ? (
          <p class="hint">{text.empty}</p>
        ) : null}
      </div>
      <Negative studio={studio} error={errors['negative_prompt']} />
    </div>
  );
}

function Chip({ name, words }: { name: string; words: string }) {
  const { prompt } = useStore(draft);
  return (
    <button
      type="button"
      class="chip"
      aria-pressed={hasWords(prompt, words)}
      onClick={() => changeDraft({ prompt: toggleWords(prompt, words) })}
    >
      {capital(name)}
    </button>
  );
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** The advice that a chat gives, once the person has stopped writing. */
function useTip(prompt: string, studio: Studio | undefined): PromptTip | undefined {
  const [settled, setSettled] = useState(prompt);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(prompt), adviceAfterMs);
    return () => clearTimeout(timer);
  }, [prompt]);
  // A model that tells what it understood knows better.
  return settled === prompt && studio && !studio.tells_understood ? promptTip(prompt) : undefined;
}

function Advice({ tip }: { tip: PromptTip }) {
  const say = useSay();
  return (
    <p class="advice-text">
      <Icon name="tip" />
      <span>{sayTip(tip, say)}</span>
    </p>
  );
}

const sayTip = (tip: PromptTip, { help }: Sentences): string =>
  tip.kind === 'vague' ? help.vague(tip.word) : help[tip.kind];

function Negative({ studio, error }: { studio: Studio | undefined; error: string | undefined }) {
  const { prompt: text } = useSay().create;
  const now = useStore(draft);
  const id = useId();
  const preset = studio && presetOf(now, studio);
  if (!studio || !preset || studio.ignored.includes('negative_prompt')) return null;
  const value = now.values.negative_prompt ?? '';
  // Without guidance the model never looks at it.
  if (guidanceOf(now, preset) <= 1 && value === '') return null;
  return (
    <div class="field">
      <label class="field-label" for={id}>
        {text.negative}
      </label>
      <input
        id={id}
        class="input"
        maxLength={1000}
        value={value}
        aria-invalid={error ? true : undefined}
        onInput={(event) => chooseValue('negative_prompt', event.currentTarget.value || undefined)}
      />
      {error ? (
        <p class="field-error" role="alert">
          {error}
        </p>
      ) : guidanceOf(now, preset) <= 1 ? (
        <p class="hint">{text.negativeUnused}</p>
      ) : null}
    </div>
  );
}
