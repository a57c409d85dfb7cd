import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { useSay } from '../sentences/say.ts';
import { IconButton } from './button.tsx';

interface DialogProps {
  readonly title: string;
  /** Also by Escape, and by a press outside. */
  readonly onClose: () => void;
  readonly isWide?: boolean;
  /** The buttons at its end. */
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}

/** Open for as long as it is rendered. The browser keeps the focus inside, and gives it back. */
export function Dialog({ title, onClose, isWide = false, actions, children }: DialogProps) {
  const say = useSay();
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      class={isWide ? 'dialog dialog-wide' : 'dialog'}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onMouseDown={(event) => {
        if (event.target === element.current) onClose();
      }}
    >
      <div class="dialog-body">
        <div class="dialog-head">
          <h2 id={titleId}>{title}</h2>
          <IconButton icon="close" label={say.shell.close} onClick={onClose} />
        </div>
        {children}
        {actions ? <div class="dialog-actions">{actions}</div> : null}
      </div>
    </dialog>
  );
}
