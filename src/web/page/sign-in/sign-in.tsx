/**
 * Where a sign-in link leads. The link is looked at when the page is opened and used up by the button alone, so whatever
 * opens links by itself uses up nothing.
 */

import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import { ApiError, call } from '../api/client.ts';
import type { ShownLink } from '../api/types.ts';
import { Button, ButtonLink } from '../parts/button.tsx';
import { Screen } from '../parts/screen.tsx';
import { Notice, Waiting } from '../parts/states.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { session } from '../state/session.ts';
import { useStore } from '../state/store.ts';
import { LinkForm, nameOf } from './link-form.tsx';
import './sign-in.css';

type Looked =
  | { readonly kind: 'looking' }
  | { readonly kind: 'found'; readonly link: ShownLink }
  | { readonly kind: 'used' }
  | { readonly kind: 'failed'; readonly error: unknown };

const tokenInAddress = (): string => location.hash.slice(1);
const isUsed = (error: unknown): boolean => error instanceof ApiError && error.status === 410;

export default function SignIn() {
  const say = useSay();
  const [token, setToken] = useState(tokenInAddress);
  useEffect(() => {
    // Another link that is opened in the same tab only changes what is behind the #.
    const read = (): void => setToken(tokenInAddress());
    addEventListener('hashchange', read);
    return () => removeEventListener('hashchange', read);
  }, []);
  return (
    <Screen title={say.signIn.title} isTitleHidden>
      {token === '' ? <NoLink /> : <Link key={token} token={token} />}
    </Screen>
  );
}

function NoLink() {
  const say = useSay();
  const now = useStore(session);
  if (now.kind === 'loading') return <Waiting label={say.shell.loading} />;
  if (now.kind === 'signed-in') {
    return (
      <Notice icon="account" title={say.signIn.already(nameOf(now.me, say))} hint={say.signIn.alreadyHint}>
        <ButtonLink href="/" kind="primary">
          {say.signIn.goOn}
        </ButtonLink>
      </Notice>
    );
  }
  return <Notice icon="account" title={say.shell.signedOut} hint={say.shell.signedOutHint} />;
}

function Link({ token }: { token: string }) {
  const say = useSay();
  const { route } = useLocation();
  const now = useStore(session);
  const [looked, setLooked] = useState<Looked>({ kind: 'looking' });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const leaving = new AbortController();
    setLooked({ kind: 'looking' });
    call<ShownLink>('/v1/sign-in/look', { method: 'POST', body: { token }, signal: leaving.signal })
      .then((link) => setLooked({ kind: 'found', link }))
      .catch((error: unknown) => {
        if (leaving.signal.aborted) return;
        setLooked(isUsed(error) ? { kind: 'used' } : { kind: 'failed', error });
      });
    return () => leaving.abort();
  }, [token, attempt]);

  const present = now.kind === 'signed-in' ? now.me : undefined;
  switch (looked.kind) {
    case 'looking':
      return <Waiting label={say.signIn.looking} />;
    case 'found':
      return (
        <LinkForm
          token={token}
          link={looked.link}
          present={present}
          onSignedIn={(me) => {
            session.set({ kind: 'signed-in', me });
            route('/', true);
          }}
          onUsed={() => setLooked({ kind: 'used' })}
        />
      );
    case 'used':
      return (
        <Notice icon="warning" title={say.signIn.used} hint={say.signIn.usedHint}>
          {present ? (
            <ButtonLink href="/" kind="primary">
              {say.signIn.goOn}
            </ButtonLink>
          ) : null}
        </Notice>
      );
    case 'failed':
      return (
        <Notice icon="warning" title={say.signIn.failed} hint={sayError(looked.error, say)}>
          <Button kind="primary" onClick={() => setAttempt(attempt + 1)}>
            {say.shell.retry}
          </Button>
        </Notice>
      );
  }
}
