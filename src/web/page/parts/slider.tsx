/** A number between two ends: a slider and a field for the same value. */
import { useEffect, useId, useState } from 'preact/hooks';
import { useSay } from '../sentences/say.ts';
import { IconButton } from './button.tsx';

interface SliderProps {
  readonly label: string;
  readonly hint?: string | undefined;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step?: number;
  readonly error?: string | undefined;
  readonly onChange: (value: number) => void;
  /** Present where the value was chosen: gives it back to the default. */
  readonly onReset?: (() => void) | undefined;
}

export function Slider({ label, hint, value, min, max, step = 1, error, onChange, onReset }: SliderProps) {
  const say = useSay();
  const id = useId();
  const [typed, setTyped] = useState(String(value));
  useEffect(() => setTyped(String(value)), [value]);
  /** What was typed counts when it is in range; the field shows the value again when it is left. */
  const commit = (): void => {
    const number = Number(typed);
    if (typed.trim() !== '' && Number.isFinite(number)) onChange(nearest(number, min, max, step));
    setTyped(String(value));
  };
  return (
    <div class="field slider">
      <div class="field-label">
        <label for={id}>{label}</label>
        <span class="slider-value">
          {onReset ? <IconButton icon="undo" label={say.create.more.usual(label)} onClick={onReset} /> : null}
          <input
            class="input numbers"
            inputMode="decimal"
            aria-label={label}
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
            onBlur={commit}
            onKeyDown={(event) => {
              if (event.key === 'Enter') {
                event.preventDefault();
                commit();
              }
            }}
          />
        </span>
      </div>
      <input
        id={id}
        type="range"
        {...{ min, max, step, value }}
        aria-describedby={hint || error ? `${id}-hint` : undefined}
        onInput={(event) => onChange(Number(event.currentTarget.value))}
      />
      {error ? (
        <p class="field-error" id={`${id}-hint`} role="alert">
          {error}
        </p>
      ) : hint ? (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      ) : null}
    </div>
  );
}

function nearest(value: number, min: number, max: number, step: number): number {
  const steps = Math.round((Math.min(Math.max(value, min), max) - min) / step);
  return Number((min + steps * step).toFixed(3));
}
