/** The shell around all screens, and which address shows which. */

import type { ComponentChildren } from 'preact';
import { useErrorBoundary } from 'preact/hooks';
import lazy, { ErrorBoundary } from 'preact-iso/lazy';
import { LocationProvider, Route, Router } from 'preact-iso/router';
import { Create } from './create/create.tsx';
import { Button, ButtonLink } from './parts/button.tsx';
import { Screen } from './parts/screen.tsx';
import { Notice } from './parts/states.tsx';
import { Toasts } from './parts/toasts.tsx';
import { useSay } from './sentences/say.ts';
import { Header } from './shell/header.tsx';
import { Outage } from './shell/outage.tsx';
import { SignedIn } from './shell/signed-in.tsx';

const Library = lazy(() => import('./library/library.tsx'));
const Clip = lazy(() => import('./library/clip.tsx'));
const Machine = lazy(() => import('./machine/machine.tsx'));
const Account = lazy(() => import('./account/account.tsx'));
const SignIn = lazy(() => import('./sign-in/sign-in.tsx'));

/** Links to what is no screen, such as /docs or a video's file, are the browser's. */
const screens = /^\/(?:library|machine|account|sign-in)?(?:[/?#]|$)/;

/** A screen for those who are signed in. */
const inside = (Content: () => ReturnType<typeof Create>) => (): ReturnType<typeof Create> => (
  <SignedIn>
    <Content />
  </SignedIn>
);
const screensInside = {
  create: inside(() => <Create />),
  library: inside(() => <Library />),
  clip: inside(() => <Clip />),
  machine: inside(() => <Machine />),
  account: inside(() => <Account />),
} as const;

export function App() {
  const say = useSay();
  return (
    <LocationProvider scope={screens}>
      <a class="skip-link" href="#content">
        {say.shell.skip}
      </a>
      <Header />
      <Outage />
      <main id="content" tabIndex={-1}>
        <LastResort>
          <ErrorBoundary>
            <Router>
              <Route path="/" component={screensInside.create} />
              <Route path="/library" component={screensInside.library} />
              <Route path="/library/:id" component={screensInside.clip} />
              <Route path="/machine" component={screensInside.machine} />
              <Route path="/account" component={screensInside.account} />
              <Route path="/sign-in" component={SignIn} />
              <Route default component={NotFound} />
            </Router>
          </ErrorBoundary>
        </LastResort>
      </main>
      <Toasts />
    </LocationProvider>
  );
}

function NotFound() {
  const say = useSay();
  return (
    <Screen title={say.shell.notFound} isTitleHidden>
      <Notice icon="search" title={say.shell.notFound} hint={say.shell.notFoundHint}>
        <ButtonLink href="/" kind="primary">
          {say.shell.toCreate}
        </ButtonLink>
      </Notice>
    </Screen>
  );
}

/** A screen that throws is replaced by what to do; the shell stays. */
function LastResort({ children }: { children: ComponentChildren }) {
  const say = useSay();
  const [error] = useErrorBoundary((thrown) => console.error(thrown));
  if (error === undefined) return <>{children}</>;
  return (
    <Notice icon="warning" title={say.errors.crashed} hint={say.errors.crashedHint}>
      <Button kind="primary" onClick={() => location.reload()}>
        {say.errors.reload}
      </Button>
    </Notice>
  );
}
