import { useEffect, useRef, useState } from 'preact/hooks';
import { cutOf } from '../../../request/sizes.ts';
import type { Studio } from '../api/types.ts';
import { Button, IconButton } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { contentPath, uncover, useIsUncovered } from '../parts/video-tile.tsx';
import { useSay } from '../sentences/say.ts';
import { useStore } from '../state/store.ts';
import { CropDialog } from './crop-dialog.tsx';
import { changeDraft, type DraftPicture, draft, type RemixedVideo, unedited } from './draft.ts';
import { drawStrokes } from './mask.ts';
import { MaskDialog } from './mask-dialog.tsx';
import { clipSize, presetOf } from './options.ts';
import { type Decoded, draw, editedSize, pictureIn, useDecoded } from './picture.ts';

interface PictureFieldProps {
  readonly studio: Studio | undefined;
  readonly error: string | undefined;
  readonly onRefuse: (why: string) => void;
}

/** The window over the page that changes the picture. */
type Opened = 'crop' | 'mask' | undefined;

const megabyte = 2 ** 20;

export function PictureField({ studio, error, onRefuse }: PictureFieldProps) {
  const say = useSay();
  const { picture, from } = useStore(draft);
  const decoded = useDecoded(picture?.blob);
  const [opened, setOpened] = useState<Opened>();
  const chooser = useRef<HTMLInputElement>(null);
  const camera = useRef<HTMLInputElement>(null);

  const take = (file: File | undefined): void => {
    const most = studio?.upload.bytes ?? Infinity;
    if (!file) onRefuse(say.create.picture.notAPicture);
    else if (file.size > most) onRefuse(say.create.picture.tooLarge(Math.floor(most / megabyte)));
    else changeDraft({ picture: { blob: file, name: file.name, edit: unedited, mask: [] }, from: undefined });
  };
  const isDragging = useDrop(take);
  const input = (which: typeof chooser, props: { capture?: 'environment' }) => (
    <input
      ref={which}
      class="hidden"
      type="file"
      tabIndex={-1}
      aria-hidden="true"
      accept={studio?.upload.types.join(',') ?? 'image/*'}
      {...props}
      onChange={(event) => {
        const [file] = event.currentTarget.files ?? [];
        if (file) take(file);
        event.currentTarget.value = '';
      }}
    />
  );
  const choose = (): void => chooser.current?.click();

  return (
    <section class="picture-field" aria-label={say.create.picture.label}>
      {input(chooser, {})}
      {input(camera, { capture: 'environment' })}
      <div class={isDragging ? 'stage stage-dragging' : 'stage'}>
        {picture ? (
          <Preview picture={picture} decoded={decoded} />
        ) : from ? (
          <PictureOf from={from} />
        ) : (
          <div class="stage-empty">
            <span class="stage-icon">
              <Icon name="image" />
            </span>
            <strong>
              <span class="only-mouse">{say.create.picture.drop}</span>
              <span class="only-touch">{say.create.picture.add}</span>
            </strong>
            <p class="hint">
              <span class="only-mouse">{say.create.picture.paste}</span> {say.create.picture.formats}{' '}
              {say.create.picture.megabytes(Math.floor((studio?.upload.bytes ?? 64 * megabyte) / megabyte))}
            </p>
            <div class="stage-buttons">
              <Button icon="image" onClick={choose}>
                {say.create.picture.choose}
              </Button>
              <span class="only-touch">
                <Button icon="camera" onClick={() => camera.current?.click()}>
                  {say.create.picture.photograph}
                </Button>
              </span>
            </div>
          </div>
        )}
        {isDragging ? <div class="stage-drop">{say.create.picture.dropNow}</div> : null}
      </div>
      {picture ? (
        <div class="picture-actions">
          <Button isSmall icon="crop" isDisabled={decoded.kind !== 'shown'} onClick={() => setOpened('crop')}>
            {say.create.picture.edit}
          </Button>
          <Button
            isSmall
            icon="brush"
            isPressed={picture.mask.length > 0}
            isDisabled={decoded.kind !== 'shown'}
            onClick={() => setOpened('mask')}
          >
            {say.create.mask.open}
          </Button>
          <Button isSmall icon="image" onClick={choose}>
            {say.create.picture.replace}
          </Button>
          <span class="picture-end">
            <PictureFacts studio={studio} picture={picture} decoded={decoded} />
            <IconButton
              icon="trash"
              label={say.create.picture.remove}
              onClick={() => changeDraft({ picture: undefined })}
            />
          </span>
        </div>
      ) : from ? (
        <div class="picture-actions">
          <Button isSmall icon="image" onClick={choose}>
            {say.create.picture.other}
          </Button>
          {from.mask ? (
            <Button
              isSmall
              icon="brush"
              isPressed={from.mask === 'kept'}
              onClick={() =>
                changeDraft({ from: { ...from, mask: from.mask === 'kept' ? 'left out' : 'kept' } })
              }
            >
              {say.create.mask.kept}
            </Button>
          ) : null}
        </div>
      ) : null}
      <Cut studio={studio} picture={picture} decoded={decoded} />
      {error ? (
        <p class="field-error" role="alert">
          {error}
        </p>
      ) : null}
      {picture && decoded.kind === 'shown' ? (
        <Dialogs
          window={opened}
          picture={picture}
          bitmap={decoded.bitmap}
          studio={studio}
          onClose={() => setOpened(undefined)}
        />
      ) : null}
    </section>
  );
}

interface DialogsProps {
  readonly window: Opened;
  readonly picture: DraftPicture;
  readonly bitmap: ImageBitmap;
  readonly studio: Studio | undefined;
  readonly onClose: () => void;
}

function Dialogs({ window: opened, picture, bitmap, studio, onClose }: DialogsProps) {
  const change = (changes: Partial<DraftPicture>): void => {
    changeDraft({ picture: { ...picture, ...changes } });
    onClose();
  };
  switch (opened) {
    case 'crop':
      return (
        <CropDialog
          bitmap={bitmap}
          edit={picture.edit}
          studio={studio}
          onClose={onClose}
          // What was painted lies elsewhere in another crop.
          onApply={(edit) => change({ edit, mask: [] })}
        />
      );
    case 'mask':
      return (
        <MaskDialog
          bitmap={bitmap}
          picture={picture}
          onClose={onClose}
          onApply={(mask) => change({ mask })}
        />
      );
    default:
      return null;
  }
}

/** Pictures that are dropped anywhere on the page or pasted into it. */
function useDrop(take: (file: File | undefined) => void): boolean {
  const [isDragging, setDragging] = useState(false);
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
    const over = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setDragging(true);
    };
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) setDragging(false);
    };
    const drop = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setDragging(false);
      latest.current(pictureIn(event.dataTransfer));
    };
    const paste = (event: ClipboardEvent): void => {
      const file = pictureIn(event.clipboardData);
      if (!file) return;
      event.preventDefault();
      latest.current(file);
    };
    addEventListener('dragover', over);
    addEventListener('dragleave', leave);
    addEventListener('drop', drop);
    addEventListener('paste', paste);
    return () => {
      removeEventListener('dragover', over);
      removeEventListener('dragleave', leave);
      removeEventListener('drop', drop);
      removeEventListener('paste', paste);
    };
  }, []);
  return isDragging;
}

const previewLongest = 1600;

function Preview({ picture, decoded }: { picture: DraftPicture; decoded: Decoded }) {
  const say = useSay();
  const canvas = useRef<HTMLCanvasElement>(null);
  const painted = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (decoded.kind !== 'shown' || !canvas.current) return;
    draw(canvas.current, decoded.bitmap, picture.edit, previewLongest);
    if (!painted.current) return;
    painted.current.width = canvas.current.width;
    painted.current.height = canvas.current.height;
    drawStrokes(painted.current, picture.mask, getComputedStyle(painted.current).color);
  }, [decoded, picture.edit, picture.mask]);
  if (decoded.kind === 'unshowable') return <p class="stage-note">{say.create.picture.unshowable}</p>;
  if (decoded.kind === 'loading') return <span class="spinner" />;
  return (
    // No span, as which it would be the spinner that has grown.
    <div class="stage-layers">
      <canvas ref={canvas} class="stage-picture" role="img" aria-label={say.create.picture.preview} />
      {picture.mask.length > 0 ? (
        <canvas ref={painted} class="stage-mask" tabIndex={-1} aria-hidden="true" />
      ) : null}
    </div>
  );
}

interface FactsProps {
  readonly studio: Studio | undefined;
  readonly picture: DraftPicture | undefined;
  readonly decoded: Decoded;
}

function useSizes({ studio, picture, decoded }: FactsProps) {
  const now = useStore(draft);
  if (!picture || decoded.kind !== 'shown') return undefined;
  const size = editedSize(decoded.bitmap, picture.edit);
  const preset = studio && presetOf(now, studio);
  return { size, clip: preset && clipSize(now, preset, studio, size) };
}

function PictureFacts(props: FactsProps) {
  const say = useSay();
  const sizes = useSizes(props);
  return (
    <span class="picture-facts hint numbers">
      {sizes ? say.create.picture.pixels(sizes.size.width, sizes.size.height) : ''}
      {sizes?.clip ? <span>{say.create.picture.becomes(sizes.clip.width, sizes.clip.height)}</span> : null}
    </span>
  );
}

/** How much of the picture the clip does not show, where that is seen. */
function Cut(props: FactsProps) {
  const say = useSay();
  const sizes = useSizes(props);
  const cut = sizes?.clip && cutOf(sizes.size, sizes.clip);
  return cut ? <p class="hint">{say.status.cut(cut)}</p> : null;
}

/** The picture of the video that is remixed, covered as long as the video is. */
function PictureOf({ from: { id, isShown, isCovered } }: { from: RemixedVideo }) {
  const say = useSay();
  const isUncovered = useIsUncovered(id);
  if (!isShown) return <p class="stage-note">{say.create.picture.ofVideo}</p>;
  if (isCovered && !isUncovered) {
    return (
      <div class="stage-empty">
        <span class="stage-icon">
          <Icon name="eyeOff" />
        </span>
        <strong>{say.clips.covered}</strong>
        <Button isSmall onClick={() => uncover(id)}>
          {say.clips.uncover}
        </Button>
      </div>
    );
  }
  return <img class="stage-picture" src={contentPath(id, 'thumbnail')} alt={say.create.picture.ofVideo} />;
}
