/** A brush over the picture: what is painted may move, all else stays still. By pointer, by finger and by keyboard. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { useSay } from '../sentences/say.ts';
import { arrows } from './arrows.ts';
import type { DraftPicture } from './draft.ts';
import { drawStrokes, type Point, type Stroke } from './mask.ts';
import { draw } from './picture.ts';

interface MaskDialogProps {
  readonly bitmap: ImageBitmap;
  readonly picture: DraftPicture;
  readonly onClose: () => void;
  readonly onApply: (strokes: readonly Stroke[]) => void;
}

const longest = 1200;
const widths = { smallest: 0.02, usual: 0.12, largest: 0.4 };

export function MaskDialog({ bitmap, picture: { edit, mask }, onClose, onApply }: MaskDialogProps) {
  const { mask: text } = useSay().create;
  const [strokes, setStrokes] = useState(mask);
  const [isErasing, setErasing] = useState(false);
  const [width, setWidth] = useState(widths.usual);
  const shown = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (shown.current) draw(shown.current, bitmap, edit, longest);
  }, [bitmap, edit]);

  return (
    <Dialog
      title={text.title}
      isWide
      onClose={onClose}
      actions={
        <>
          <Button kind="quiet" isDisabled={strokes.length === 0} onClick={() => setStrokes([])}>
            {text.clear}
          </Button>
          <Button kind="primary" icon="check" onClick={() => onApply(strokes)}>
            {text.apply}
          </Button>
        </>
      }
    >
      <p class="hint">{text.how}</p>
      <div class="crop-stage">
        <div class="crop-picture">
          <canvas ref={shown} tabIndex={-1} aria-hidden="true" />
          <Brush strokes={strokes} brush={{ isErasing, width }} onChange={setStrokes} />
        </div>
      </div>
      <div class="crop-tools">
        <fieldset class="crop-shapes">
          <legend class="hidden">{text.tool}</legend>
          <Button isSmall icon="brush" isPressed={!isErasing} onClick={() => setErasing(false)}>
            {text.paint}
          </Button>
          <Button isSmall icon="eraser" isPressed={isErasing} onClick={() => setErasing(true)}>
            {text.erase}
          </Button>
        </fieldset>
        <label class="brush-width">
          {text.width}
          <input
            type="range"
            min={widths.smallest}
            max={widths.largest}
            step="0.01"
            value={width}
            onInput={(event) => setWidth(Number(event.currentTarget.value))}
          />
        </label>
        <Button
          isSmall
          icon="undo"
          isDisabled={strokes.length === 0}
          onClick={() => setStrokes(strokes.slice(0, -1))}
        >
          {text.undo}
        </Button>
      </div>
    </Dialog>
  );
}

const keyStep = 0.04;
const inside = (value: number): number => Math.min(Math.max(value, 0), 1);

interface BrushProps {
  readonly strokes: readonly Stroke[];
  readonly brush: Omit<Stroke, 'points'>;
  readonly onChange: (strokes: readonly Stroke[]) => void;
}

function Brush({ strokes, brush, onChange }: BrushProps) {
  const { mask: text } = useSay().create;
  const canvas = useRef<HTMLCanvasElement>(null);
  /** Where the brush of the keyboard is. */
  const [at, setAt] = useState<Point>({ x: 0.5, y: 0.5 });
  const [isByKey, setByKey] = useState(false);
  useEffect(() => {
    const area = canvas.current;
    if (!area) return;
    const { width, height } = area.getBoundingClientRect();
    const scale = Math.min(1, longest / Math.max(width, height)) * devicePixelRatio;
    area.width = Math.round(width * scale);
    area.height = Math.round(height * scale);
    const colour = getComputedStyle(area).color;
    drawStrokes(area, strokes, colour);
  }, [strokes]);

  const follow = (event: PointerEvent): void => {
    const area = canvas.current;
    if (!area || event.button > 0) return;
    setByKey(false);
    area.setPointerCapture(event.pointerId);
    const { left, top, width, height } = area.getBoundingClientRect();
    const pointOf = (moved: PointerEvent): Point => ({
      x: inside((moved.clientX - left) / width),
      y: inside((moved.clientY - top) / height),
    });
    const points = [pointOf(event)];
    const show = (): void => onChange([...strokes, { ...brush, points: [...points] }]);
    const add = (moved: PointerEvent): void => {
      points.push(pointOf(moved));
      show();
    };
    area.addEventListener('pointermove', add);
    area.addEventListener('lostpointercapture', () => area.removeEventListener('pointermove', add), {
      once: true,
    });
    show();
  };
  const press = (event: KeyboardEvent): void => {
    const by = arrows[event.key];
    if (by) {
      const next = { x: inside(at.x + by[0] * keyStep), y: inside(at.y + by[1] * keyStep) };
      setAt(next);
      if (event.shiftKey) onChange([...strokes, { ...brush, points: [at, next] }]);
    } else if (event.key === ' ') {
      onChange([...strokes, { ...brush, points: [at] }]);
    } else {
      return;
    }
    setByKey(true);
    event.preventDefault();
  };

  return (
    <fieldset
      class="brush-area"
      aria-label={text.area}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the brush is moved by arrow keys
      tabIndex={0}
      onPointerDown={follow}
      onKeyDown={press}
    >
      <canvas ref={canvas} tabIndex={-1} aria-hidden="true" />
      {isByKey ? (
        <span class="brush-cursor" style={{ left: `${at.x * 100}%`, top: `${at.y * 100}%` }} />
      ) : null}
    </fieldset>
  );
}
