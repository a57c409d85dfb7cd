/** Turns and crops the picture: by pointer, by finger and by keyboard. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Studio } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { useSay } from '../sentences/say.ts';
import { useStore } from '../state/store.ts';
import { arrows } from './arrows.ts';
import { type Grip, grips, move, ofShape, resize } from './crop.ts';
import { type Box, draft, type Edit } from './draft.ts';
import { clipSize, presetOf } from './options.ts';
import { draw, editedSize, turnedSize, whole } from './picture.ts';

const shapes = ['free', 'original', 'output', '1:1', '16:9', '9:16'] as const;
type Shape = (typeof shapes)[number];

interface CropDialogProps {
  readonly bitmap: ImageBitmap;
  readonly edit: Edit;
  readonly studio: Studio | undefined;
  readonly onClose: () => void;
  readonly onApply: (edit: Edit) => void;
}

const longest = 1200;

export function CropDialog({ bitmap, edit: before, studio, onClose, onApply }: CropDialogProps) {
  const say = useSay();
  const { crop: text } = say.create;
  const [turns, setTurns] = useState(before.turns);
  const [box, setBox] = useState<Box>(before.crop ?? whole);
  const [shape, setShape] = useState<Shape>('free');
  const canvas = useRef<HTMLCanvasElement>(null);
  const now = useStore(draft);
  const turned = turnedSize(bitmap, { turns });
  useEffect(() => {
    if (canvas.current) draw(canvas.current, bitmap, { turns, crop: undefined }, longest);
  }, [bitmap, turns]);

  /** Width by height of the frame, as parts of the picture's. */
  const partsOf = (name: Shape): number | undefined => {
    if (name === 'free') return undefined;
    if (name === 'original') return 1;
    const preset = studio && presetOf(now, studio);
    const clip = preset && clipSize(now, preset, studio, turned);
    const [width = 1, height = 1] =
      name === 'output' ? (clip ? [clip.width, clip.height] : []) : name.split(':').map(Number);
    return (width / height) * (turned.height / turned.width);
  };
  const choose = (name: Shape): void => {
    setShape(name);
    setBox(ofShape(box, partsOf(name)));
  };
  const turn = (by: 1 | 3): void => {
    setTurns(((turns + by) % 4) as Edit['turns']); // a remainder of 4
    setBox(whole);
    setShape('free');
  };
  const isWhole = box.width > 0.999 && box.height > 0.999;
  const crop = isWhole ? undefined : box;
  const size = editedSize(bitmap, { turns, crop });

  return (
    <Dialog
      title={text.title}
      isWide
      onClose={onClose}
      actions={
        <>
          <Button
            kind="quiet"
            onClick={() => {
              setTurns(0);
              setBox(whole);
              setShape('free');
            }}
          >
            {text.reset}
          </Button>
          <Button kind="primary" icon="check" onClick={() => onApply({ turns, crop })}>
            {text.apply}
          </Button>
        </>
      }
    >
      <div class="crop-stage">
        <div class="crop-picture">
          <canvas ref={canvas} tabIndex={-1} aria-hidden="true" />
          <Frame box={box} shape={partsOf(shape)} onChange={setBox} />
        </div>
      </div>
      <div class="crop-tools">
        <div class="crop-turns">
          <Button isSmall icon="rotateLeft" onClick={() => turn(3)}>
            {text.left}
          </Button>
          <Button isSmall icon="rotateRight" onClick={() => turn(1)}>
            {text.right}
          </Button>
        </div>
        <fieldset class="crop-shapes">
          <legend class="hidden">{text.shape}</legend>
          {shapes.map((name) => (
            <Button key={name} isSmall isPressed={shape === name} onClick={() => choose(name)}>
              {name === 'free' || name === 'original' || name === 'output' ? text[name] : name}
            </Button>
          ))}
        </fieldset>
        <output class="hint numbers" aria-live="polite">
          {text.size(size.width, size.height)}
        </output>
      </div>
    </Dialog>
  );
}

const keyStep = 0.02;

interface FrameProps {
  readonly box: Box;
  readonly shape: number | undefined;
  readonly onChange: (box: Box) => void;
}

function Frame({ box, shape, onChange }: FrameProps) {
  const { crop: text } = useSay().create;
  const frame = useRef<HTMLFieldSetElement>(null);
  const changed = (from: Box, grip: Grip | undefined, byX: number, byY: number): Box =>
    grip ? resize(from, grip, byX, byY, shape) : move(from, byX, byY);

  /** Follows a pointer until it is lifted, by how far it went since it came down. */
  const drag = (event: PointerEvent, grip: Grip | undefined): void => {
    const area = frame.current?.parentElement?.getBoundingClientRect();
    const target = event.currentTarget;
    if (!area || !(target instanceof HTMLElement)) return;
    event.stopPropagation();
    target.setPointerCapture(event.pointerId);
    const from = box;
    const follow = (moved: PointerEvent): void =>
      onChange(
        changed(
          from,
          grip,
          (moved.clientX - event.clientX) / area.width,
          (moved.clientY - event.clientY) / area.height,
        ),
      );
    const end = (): void => target.removeEventListener('pointermove', follow);
    target.addEventListener('pointermove', follow);
    target.addEventListener('lostpointercapture', end, { once: true });
  };
  const press = (event: KeyboardEvent, grip: Grip | undefined): void => {
    const by = arrows[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const used: Grip | undefined = grip ?? (event.shiftKey ? { x: 1, y: 1 } : undefined);
    onChange(changed(box, used, by[0] * keyStep, by[1] * keyStep));
  };

  return (
    <fieldset
      ref={frame}
      class="crop-frame"
      aria-label={text.frame}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the frame is moved by arrow keys
      tabIndex={0}
      style={{
        left: `${box.x * 100}%`,
        top: `${box.y * 100}%`,
        width: `${box.width * 100}%`,
        height: `${box.height * 100}%`,
      }}
      onPointerDown={(event) => drag(event, undefined)}
      onKeyDown={(event) => press(event, undefined)}
    >
      {grips.map((grip, index) => (
        <button
          key={text.grips[index]}
          type="button"
          class="crop-grip"
          data-x={grip.x}
          data-y={grip.y}
          aria-label={text.grips[index]}
          onPointerDown={(event) => drag(event, grip)}
          onKeyDown={(event) => press(event, grip)}
        />
      ))}
    </fieldset>
  );
}
