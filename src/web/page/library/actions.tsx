/** What can be done with a clip. What would change nothing is not offered. */
import { useRef, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import { promptTip } from '../../../request/prompt-tip.ts';
import type { Video } from '../api/types.ts';
import { Button, ButtonLink } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Message } from '../parts/states.tsx';
import { showToast } from '../parts/toasts.tsx';
import { contentPath, type Variant } from '../parts/video-tile.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { useStore } from '../state/store.ts';
import { studio, useStudio } from '../state/studio.ts';
import { type Again, deleteClip, makeAgain, pagePath, setFavourite, transformClip } from './clip-calls.ts';

type Shown = Exclude<Variant, 'thumbnail'>;

interface ActionsProps {
  readonly clip: Video;
  readonly variant: Shown;
  readonly onVariant: (variant: Shown) => void;
  readonly onChange: (clip: Video) => void;
  readonly onGone: () => void;
}

const longestPrompt = 1_000;

export function Actions({ clip, variant, onVariant, onChange, onGone }: ActionsProps) {
  const say = useSay();
  const [dialog, setDialog] = useState<'remix' | 'extend' | 'delete'>();
  const [error, setError] = useState<unknown>();
  const isKept = clip.variants.includes('video');
  const isOver = clip.status === 'completed' || clip.status === 'failed';
  // The picture of what failed is kept for a while, for another attempt.
  const canMakeAgain = isKept || clip.status === 'failed';
  const star = async (): Promise<void> => {
    onChange({ ...clip, favourite: !clip.favourite });
    try {
      onChange(await setFavourite(clip, !clip.favourite));
    } catch (reason) {
      onChange(clip);
      showToast(sayError(reason, say), 'error');
    }
  };
  return (
    <div class="clip-actions">
      {isKept ? (
        <Versions
          clip={clip}
          variant={variant}
          onVariant={onVariant}
          onChange={onChange}
          onError={setError}
        />
      ) : null}
      <div class="clip-buttons">
        {isKept ? (
          <ButtonLink kind="primary" icon="download" href={contentPath(clip.id, variant)} download="">
            {say.clip.download}
          </ButtonLink>
        ) : null}
        {isKept || clip.favourite ? (
          <Button icon="star" isPressed={clip.favourite} onClick={() => void star()}>
            {say.clip.favourite}
          </Button>
        ) : null}
        <Button icon="trash" kind="danger" onClick={() => setDialog('delete')}>
          {say.buttons.delete}
        </Button>
      </div>
      {canMakeAgain ? <MakeAgain clip={clip} onWords={setDialog} onError={setError} /> : null}
      {error === undefined ? null : <Message kind="error">{sayError(error, say)}</Message>}
      {dialog === 'remix' || dialog === 'extend' ? (
        <WordsDialog action={dialog} clip={clip} onClose={() => setDialog(undefined)} />
      ) : null}
      {dialog === 'delete' ? (
        <DeleteDialog id={clip.id} isOver={isOver} onClose={() => setDialog(undefined)} onGone={onGone} />
      ) : null}
    </div>
  );
}

interface VersionsProps extends Pick<ActionsProps, 'clip' | 'variant' | 'onVariant' | 'onChange'> {
  readonly onError: (error: unknown) => void;
}

/** The clip as it was made, smooth, or as a loop: what is not there yet is made when it is chosen. */
function Versions({ clip, variant, onVariant, onChange, onError }: VersionsProps) {
  const say = useSay();
  const [making, setMaking] = useState<Shown>();
  const offered: readonly (readonly [Shown, string])[] = [
    ['video', say.clip.original],
    ...(clip.interpolation_factor === 1 ? ([['smooth', say.buttons.smooth]] as const) : []),
    ...(clip.loop ? [] : ([['loop', say.buttons.loop]] as const)),
  ];
  const choose = async (chosen: Shown): Promise<void> => {
    if (making) return;
    onError(undefined);
    try {
      if (chosen !== 'video' && !clip.variants.includes(chosen)) {
        setMaking(chosen);
        onChange(await transformClip(clip.id, chosen));
      }
      onVariant(chosen);
    } catch (reason) {
      onError(reason);
    } finally {
      setMaking(undefined);
    }
  };
  if (offered.length === 1) return null;
  return (
    <div>
      <fieldset class="clip-versions" aria-label={say.clip.which}>
        {offered.map(([name, label]) => (
          <Button
            key={name}
            isSmall
            isPressed={variant === name}
            isBusy={making === name}
            onClick={() => void choose(name)}
          >
            {label}
          </Button>
        ))}
      </fieldset>
      <p class="hint" role="status">
        {making ? say.clip.makingVersion : say.clip.free}
      </p>
    </div>
  );
}

interface MakeAgainProps {
  readonly clip: Video;
  /** These ask for a prompt first. */
  readonly onWords: (action: 'remix' | 'extend') => void;
  readonly onError: (error: unknown) => void;
}

function MakeAgain({ clip, onWords, onError }: MakeAgainProps) {
  const say = useSay();
  const { busy, make } = useMakeAgain(clip, onError);
  const credits = say.credits(clip.credits);
  const models = useStudio()?.models ?? [];
  // Another model cannot go on from what this one made.
  const isThere = models.length === 0 || models.some(({ id }) => id === clip.model);
  const isMade = clip.status === 'completed' && isThere;
  const others = [
    ['reroll', 'dice'] as const,
    ...(isMade
      ? ([
          ['subtle', 'spark'],
          ['strong', 'spark'],
        ] as const)
      : []),
  ];
  return (
    <section class="clip-again" aria-labelledby="again">
      <h2 id="again">{say.clip.again}</h2>
      <div class="clip-buttons">
        <Button icon="remix" onClick={() => onWords('remix')}>
          {say.buttons.remix}
        </Button>
        {isMade ? (
          <Button icon="play" onClick={() => onWords('extend')}>
            {say.buttons.extend}
          </Button>
        ) : null}
        {others.map(([action, icon]) => (
          <Button
            key={action}
            icon={icon}
            isBusy={busy === action}
            isDisabled={busy !== undefined && busy !== action}
            onClick={() => void make({ action })}
          >
            {say.buttons[action]}
          </Button>
        ))}
      </div>
      <p class="hint">{say.clip.costs(credits)}</p>
      <p class="clip-settings">
        <ButtonLink kind="quiet" icon="sliders" href={`/?from=${encodeURIComponent(clip.id)}`}>
          {say.clip.settings}
        </ButtonLink>
        <span class="hint">{say.clip.settingsHint}</span>
      </p>
    </section>
  );
}

/** Makes another clip of this one, and opens it. */
function useMakeAgain(clip: Video, onError: (error: unknown) => void) {
  const say = useSay();
  const { route } = useLocation();
  const [busy, setBusy] = useState<Again['action']>();
  // One for each press that was answered: what is sent again because no answer came is the same wish.
  const wish = useRef<{ readonly of: string; readonly key: string } | undefined>(undefined);
  const make = async (again: Again): Promise<void> => {
    const of = JSON.stringify(again);
    if (wish.current?.of !== of) wish.current = { of, key: newKey() };
    setBusy(again.action);
    onError(undefined);
    try {
      const made = await makeAgain(clip.id, again, wish.current.key);
      wish.current = undefined;
      showToast(say.clip.started);
      route(pagePath(made.id));
    } catch (reason) {
      onError(reason);
      setBusy(undefined);
    }
  };
  return { busy, make };
}

/** Without crypto.randomUUID, which plain HTTP does not have. */
function newKey(): string {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join('-');
}

interface WordsDialogProps {
  readonly action: 'remix' | 'extend';
  readonly clip: Video;
  readonly onClose: () => void;
}

function WordsDialog({ action, clip, onClose }: WordsDialogProps) {
  const say = useSay();
  const [prompt, setPrompt] = useState(clip.prompt);
  const [error, setError] = useState<unknown>();
  const { busy, make } = useMakeAgain(clip, setError);
  // A model that tells what it understood knows better.
  const isTold = useStore(studio)?.tells_understood ?? true;
  const tip = isTold || prompt.trim() === clip.prompt ? undefined : promptTip(prompt);
  const { remixTitle, remixHint, remixSubmit, extendTitle, extendHint, extendSubmit } = say.clip;
  const words = {
    remix: { icon: 'remix', title: remixTitle, hint: remixHint, submit: remixSubmit } as const,
    extend: { icon: 'play', title: extendTitle, hint: extendHint, submit: extendSubmit } as const,
  }[action];
  const submit = (): void => void make({ action, prompt: prompt.trim() });
  return (
    <Dialog
      title={words.title}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{say.clip.keepPrompt}</Button>
          <Button kind="primary" icon={words.icon} isBusy={busy !== undefined} onClick={submit}>
            {words.submit(say.credits(clip.credits))}
          </Button>
        </>
      }
    >
      <div class="field">
        <label class="field-label" for="remix-prompt">
          {say.labels.prompt}
        </label>
        <textarea
          id="remix-prompt"
          class="input"
          rows={4}
          maxLength={longestPrompt}
          value={prompt}
          aria-describedby="remix-hint"
          onInput={({ currentTarget }) => setPrompt(currentTarget.value)}
          onKeyDown={({ key, ctrlKey, metaKey }) => {
            if (key === 'Enter' && (ctrlKey || metaKey)) submit();
          }}
        />
        <p class="hint" id="remix-hint">
          {words.hint}
        </p>
        {tip ? (
          <Message kind="info">
            {tip.kind === 'vague' ? say.help.vague(tip.word) : say.help[tip.kind]}
          </Message>
        ) : null}
      </div>
      {error === undefined ? null : <Message kind="error">{sayError(error, say)}</Message>}
    </Dialog>
  );
}

interface DeleteDialogProps {
  readonly id: string;
  readonly isOver: boolean;
  readonly onClose: () => void;
  readonly onGone: () => void;
}

function DeleteDialog({ id, isOver, onClose, onGone }: DeleteDialogProps) {
  const say = useSay();
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const remove = async (): Promise<void> => {
    setBusy(true);
    try {
      await deleteClip(id);
      onClose();
      showToast(say.clip.deleted);
      onGone();
    } catch (reason) {
      setError(reason);
      setBusy(false);
    }
  };
  return (
    <Dialog
      title={say.clip.deleteTitle}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{say.clip.deleteNot}</Button>
          <Button kind="danger" icon="trash" isBusy={isBusy} onClick={() => void remove()}>
            {say.clip.deleteSubmit}
          </Button>
        </>
      }
    >
      <p>{isOver ? say.clip.deleteHint : say.clip.deleteRunningHint}</p>
      {error === undefined ? null : <Message kind="error">{sayError(error, say)}</Message>}
    </Dialog>
  );
}
