import type { ComponentChildren } from 'preact';
import { ButtonLink } from '../parts/button.tsx';
import { Screen } from '../parts/screen.tsx';
import { Notice, Waiting } from '../parts/states.tsx';
import { useSay } from '../sentences/say.ts';
import { session } from '../state/session.ts';
import { useStore } from '../state/store.ts';

/** Shows its screen to those who are signed in, and to others how they sign in. */
export function SignedIn({ children }: { children: ComponentChildren }) {
  const say = useSay();
  const { kind } = useStore(session);
  if (kind === 'signed-in') return <>{children}</>;
  if (kind === 'signed-out') {
    return (
      <Screen title={say.shell.signedOut} isTitleHidden>
        <Notice icon="account" title={say.shell.signedOut} hint={say.shell.signedOutHint}>
          <ButtonLink href="/sign-in">{say.shell.signIn}</ButtonLink>
        </Notice>
      </Screen>
    );
  }
  return <Waiting label={say.shell.loading} />;
}
