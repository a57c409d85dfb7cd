import { Button } from '../parts/button.tsx';
import { copyText } from '../parts/copy.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { useSay } from '../sentences/say.ts';

interface SecretProps {
  readonly title: string;
  readonly hint: string;
  readonly secret: string;
  /** What it is called. */
  readonly name: string;
  readonly copy: string;
  readonly onClose: () => void;
}

/** Something that is told once. */
export function Secret({ title, hint, secret, name, copy, onClose }: SecretProps) {
  const { account } = useSay();
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{account.keys.done}</Button>
          <Button kind="primary" icon="copy" onClick={() => void copyText(secret, name)}>
            {copy}
          </Button>
        </>
      }
    >
      <p>{hint}</p>
      <code class="secret">{secret}</code>
    </Dialog>
  );
}
