/** Asks before something that cannot be taken back, or that others feel. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { useSay } from '../sentences/say.ts';
import { useActing } from '../state/acting.ts';
import { Button } from './button.tsx';
import { Dialog } from './dialog.tsx';
import { Field } from './field.tsx';

interface ConfirmProps {
  readonly title: string;
  /** What will happen. */
  readonly children?: ComponentChildren;
  /** On the button that does it. */
  readonly action: string;
  readonly kind?: 'danger' | 'primary';
  /** Has to be typed first. */
  readonly word?: { readonly label: string; readonly text: string };
  /** @returns the sentence that tells of its success */
  readonly onConfirm: () => Promise<string | undefined>;
  readonly onClose: () => void;
}

export function Confirm({
  title,
  children,
  action,
  kind = 'danger',
  word,
  onConfirm,
  onClose,
}: ConfirmProps) {
  const say = useSay();
  const { isBusy, run } = useActing();
  const [typed, setTyped] = useState('');
  const isTyped = word === undefined || typed.trim().toLowerCase() === word.text.toLowerCase();
  const confirm = async (): Promise<void> => {
    if (isTyped && (await run(onConfirm))) onClose();
  };
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{say.shell.keep}</Button>
          <Button kind={kind} isBusy={isBusy} isDisabled={!isTyped} onClick={() => void confirm()}>
            {action}
          </Button>
        </>
      }
    >
      {children}
      {word ? (
        <Field label={word.label}>
          {(field) => (
            <input
              {...field}
              class="input"
              type="text"
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              value={typed}
              onInput={({ currentTarget }) => setTyped(currentTarget.value)}
            />
          )}
        </Field>
      ) : null}
    </Dialog>
  );
}
