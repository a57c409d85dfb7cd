/** The sentences of the studio page in English, by screen. What chats say, too, is in the catalogues of bot/sentences. */
import { buttons, credits, duration, help, jobs, labels, status } from '../../../bot/sentences/words-en.ts';

export const en = {
  buttons,
  credits,
  duration,
  help,
  jobs,
  labels,
  status,

  shell: {
    skip: 'Skip to the content',
    navigation: 'Main',
    create: 'Create',
    library: 'Library',
    machine: 'Machine',
    account: 'Account',
    signIn: 'Sign in',
    language: 'Language',
    languages: { en: 'English', zh: '中文' },
    theme: 'Theme',
    themes: { system: 'As the system', light: 'Light', dark: 'Dark' },
    loading: 'Loading…',
    unreachable: 'Kinora does not answer. What was accepted goes on; this page tries again by itself.',
    back: 'Kinora answers again.',
    notFound: 'There is no such page',
    notFoundHint: 'The address may have been mistyped, or what it showed is gone.',
    toCreate: 'Go to Create',
    signedOut: 'Sign in to go on',
    signedOutHint:
      'Write /web to Kinora in Discord or Telegram, and open the link that it answers with. On the machine itself, npm start prints one.',
    progressTitle: (percent: number, page: string) => `${percent} % · ${page}`,
    close: 'Close',
    retry: 'Try again',
  },

  errors: {
    unknown: 'Something went wrong. Try again; if it happens again, tell the admins of this Kinora.',
    unreachable: 'Kinora does not answer. Nothing was lost; try again in a moment.',
    signedOut: 'You are signed out. Sign in again, then go on here.',
    crashed: 'This page has stopped',
    crashedHint: 'What was accepted goes on on the server. Load the page again.',
    reload: 'Load again',
  },

  library: { title: 'Library' },
  machine: { title: 'Machine' },
  account: { title: 'Account' },
  signIn: { title: 'Sign in' },
  create: { title: 'Create' },
};
