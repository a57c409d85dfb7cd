/** One's own account: who one is, credits, language, keys, webhooks, where one is signed in, and the deletion of it all. */
import '../styles/lists.css';
import './account.css';
import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { Me } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Progress } from '../parts/progress.tsx';
import { Screen } from '../parts/screen.tsx';
import { useSay } from '../sentences/say.ts';
import { useActing } from '../state/acting.ts';
import { language, languages } from '../state/preferences.ts';
import { refreshSession, session } from '../state/session.ts';
import { useStore } from '../state/store.ts';
import { Keys } from './keys.tsx';
import { Sessions } from './sessions.tsx';
import { Webhooks } from './webhooks.tsx';

export default function Account() {
  const { account } = useSay();
  const now = useStore(session);
  if (now.kind !== 'signed-in') return null;
  return (
    <Screen title={account.title}>
      <div class="account">
        <Who me={now.me} />
        <Credits me={now.me} />
        <Language />
        <Keys />
        <Webhooks />
        <Sessions />
        <Forget />
      </div>
    </Screen>
  );
}

function Who({ me }: { me: Me }) {
  const { account } = useSay();
  const { isBusy, run } = useActing();
  const name = me.name ?? (me.user === 'web:owner' ? account.owner : account.nameless);
  const signOut = async (): Promise<string> => {
    await call('/v1/sessions/current', { method: 'DELETE' });
    await refreshSession();
    return account.signedOut;
  };
  return (
    <section class="card account-who" aria-label={account.who}>
      <span class="avatar" aria-hidden="true">
        {[...name][0]?.toUpperCase()}
      </span>
      <div class="account-name">
        <h2>
          {name}{' '}
          {me.scopes.includes('admin') ? <span class="badge badge-working">{account.isAdmin}</span> : null}
        </h2>
        <p class="hint">
          {account.platforms[me.platform] ?? me.platform} · <code>{me.user}</code>
        </p>
      </div>
      <Button isBusy={isBusy} onClick={() => void run(signOut)}>
        {account.signOut}
      </Button>
    </section>
  );
}

function Credits({ me }: { me: Me }) {
  const { account } = useSay();
  const { per_day: perDay, used, granted, left } = me.credits;
  const usedText = account.creditsUsed(used, perDay);
  return (
    <section class="card stack" aria-labelledby="credits-title">
      <h2 id="credits-title">{account.credits}</h2>
      <p class="credits-left numbers">{account.creditsLeft(left)}</p>
      <Progress label={usedText} percent={perDay === 0 ? 100 : Math.min(100, (100 * used) / perDay)} />
      <p class="numbers">
        {usedText}
        {granted > 0 ? `. ${account.creditsExtra(granted)}` : ''}
      </p>
      <p class="hint">{account.creditsHint}</p>
    </section>
  );
}

function Language() {
  const { account, shell } = useSay();
  const chosen = useStore(language);
  return (
    <section class="card stack" aria-labelledby="language-title">
      <h2 id="language-title">{account.language}</h2>
      <fieldset class="choices" aria-labelledby="language-title">
        {languages.map((name) => (
          <Button key={name} isPressed={name === chosen} onClick={() => language.set(name)}>
            <span lang={name === 'zh' ? 'zh-Hans' : 'en'}>{shell.languages[name]}</span>
          </Button>
        ))}
      </fieldset>
      <p class="hint">{account.languageHint}</p>
    </section>
  );
}

function Forget() {
  const { account } = useSay();
  const { forget: words } = account;
  const [isAsked, ask] = useState(false);
  return (
    <section class="card stack danger" aria-labelledby="forget-title">
      <h2 id="forget-title">{words.title}</h2>
      <p>{words.hint}</p>
      <div>
        <Button kind="danger" icon="trash" onClick={() => ask(true)}>
          {words.button}
        </Button>
      </div>
      {isAsked ? (
        <Confirm
          title={words.dialog}
          action={words.submit}
          word={{ label: words.wordLabel, text: words.word }}
          onClose={() => ask(false)}
          onConfirm={async () => {
            const { videos } = await call<{ readonly videos: number }>('/v1/account', { method: 'DELETE' });
            await refreshSession();
            return words.done(videos);
          }}
        >
          <p>{words.gone}</p>
          <ul class="bullets">
            {words.goneList.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
          <p class="hint">{words.stays}</p>
        </Confirm>
      ) : null}
    </section>
  );
}
