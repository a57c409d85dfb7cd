/** Navigation, language and theme: above the page on a wide screen, the navigation below it on a phone. */
import { useLocation } from 'preact-iso/router';
import { IconButton } from '../parts/button.tsx';
import { Icon, type IconName } from '../parts/icon.tsx';
import { useSay } from '../sentences/say.ts';
import { language, theme, themes } from '../state/preferences.ts';
import { isAdmin, session } from '../state/session.ts';
import { useStore } from '../state/store.ts';

const themeIcons = { system: 'system', light: 'sun', dark: 'moon' } as const;

export function Header() {
  const say = useSay();
  const { shell } = say;
  const { path } = useLocation();
  const now = useStore(session);
  const isSignedIn = now.kind === 'signed-in';
  const chosenTheme = useStore(theme);
  const chosenLanguage = useStore(language);
  const nextTheme = themes[(themes.indexOf(chosenTheme) + 1) % themes.length] ?? 'system';
  const nextLanguage = chosenLanguage === 'en' ? 'zh' : 'en';
  return (
    <header class="header">
      <a class="brand" href="/">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <rect width="32" height="32" rx="8" />
          <path d="M11 8v16m0-7 11-9M14 14.500l8 9.500" />
        </svg>
        <span>Kinora</span>
      </a>
      <nav
        class={now.kind === 'loading' ? 'navigation navigation-waiting' : 'navigation'}
        aria-label={shell.navigation}
      >
        <Tab href="/" icon="create" label={shell.create} isCurrent={path === '/'} />
        <Tab href="/library" icon="library" label={shell.library} isCurrent={path.startsWith('/library')} />
        {isSignedIn && isAdmin(now.me) ? (
          <Tab href="/machine" icon="machine" label={shell.machine} isCurrent={path === '/machine'} />
        ) : null}
        <Tab href="/account" icon="account" label={shell.account} isCurrent={path === '/account'} />
      </nav>
      <div class="switches">
        <button
          type="button"
          class="language-switch"
          lang={nextLanguage === 'zh' ? 'zh-Hans' : 'en'}
          aria-label={`${shell.language}: ${shell.languages[nextLanguage]}`}
          onClick={() => language.set(nextLanguage)}
        >
          <Icon name="language" />
          <span>{shell.languages[nextLanguage]}</span>
        </button>
        <IconButton
          icon={themeIcons[chosenTheme]}
          label={`${shell.theme}: ${shell.themes[chosenTheme]}`}
          onClick={() => theme.set(nextTheme)}
        />
      </div>
    </header>
  );
}

interface TabProps {
  readonly href: string;
  readonly icon: IconName;
  readonly label: string;
  readonly isCurrent: boolean;
}

function Tab({ href, icon, label, isCurrent }: TabProps) {
  return (
    <a class="tab" href={href} aria-current={isCurrent ? 'page' : undefined}>
      <Icon name={icon} />
      <span>{label}</span>
    </a>
  );
}
