/** Whom a link signs in, with the button that does it. */
import { useState } from 'preact/hooks';
import { ApiError, call } from '../api/client.ts';
import type { Me, ShownLink } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { Message } from '../parts/states.tsx';
import { type Sentences, sayError, useSay } from '../sentences/say.ts';

interface Props {
  readonly token: string;
  readonly link: ShownLink;
  /** Who is signed in here now. */
  readonly present: Me | undefined;
  readonly onSignedIn: (me: Me) => void;
  readonly onUsed: () => void;
}

const longestName = 64;

/** What somebody who is signed in is called here. */
export function nameOf({ name, user }: Pick<Me, 'name' | 'user'>, { signIn }: Sentences): string {
  return name ?? (user === 'web:owner' ? signIn.owner : signIn.somebody);
}

export function LinkForm({ token, link, present, onSignedIn, onUsed }: Props) {
  const say = useSay();
  const [name, setName] = useState('');
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  const { signIn } = say;

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    setError(undefined);
    try {
      const body = { token, ...(link.needs_name ? { name } : {}) };
      onSignedIn(await call<Me>('/v1/sign-in', { method: 'POST', body }));
    } catch (thrown) {
      setBusy(false);
      if (thrown instanceof ApiError && thrown.status === 410) onUsed();
      else setError(thrown);
    }
  };
  const isWrongName = error instanceof ApiError && error.param === 'name';
  return (
    <form class="sign-in" onSubmit={(event) => void submit(event)}>
      <span class="notice-icon">
        <Icon name="account" />
      </span>
      <h2>{greetingOf(link, say)}</h2>
      <p>{aboutOf(link, say)}</p>
      {link.needs_name ? (
        <div class="field">
          <label class="field-label" for="sign-in-name">
            {signIn.name}
          </label>
          <input
            id="sign-in-name"
            class="input"
            type="text"
            autocomplete="nickname"
            maxLength={longestName}
            required
            value={name}
            aria-describedby="sign-in-name-hint"
            aria-invalid={isWrongName}
            onInput={(event) => setName(event.currentTarget.value)}
          />
          <span class="hint" id="sign-in-name-hint">
            {signIn.nameHint}
          </span>
        </div>
      ) : null}
      {error === undefined ? null : <Message kind="error">{sayError(error, say)}</Message>}
      {present ? <Message kind="info">{signIn.replaces(nameOf(present, say))}</Message> : null}
      <Button type="submit" kind="primary" isBusy={isBusy}>
        {buttonOf(link, say)}
      </Button>
      <p class="hint">{signIn.once}</p>
    </form>
  );
}

function greetingOf({ name, is_owner: isOwner }: ShownLink, { signIn }: Sentences): string {
  if (isOwner) return signIn.welcomeOwner;
  return name === null ? signIn.welcomeNew : signIn.welcome(name);
}

function aboutOf({ platform, is_owner: isOwner }: ShownLink, { signIn }: Sentences): string {
  if (isOwner) return signIn.platforms.owner;
  return platform === 'discord' || platform === 'telegram'
    ? signIn.platforms[platform]
    : signIn.platforms.web;
}

function buttonOf({ name, is_owner: isOwner }: ShownLink, { signIn }: Sentences): string {
  if (isOwner) return signIn.asOwner;
  return name === null ? signIn.enter : signIn.as(name);
}
