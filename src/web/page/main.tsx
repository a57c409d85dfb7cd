/** The studio page: what a person does in a chat, in a browser. */
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/fields.css';
import { render } from 'preact';
import { App } from './app.tsx';
import { followDrafts } from './create/forget.ts';
import { followLive } from './state/live.ts';
import { followEnds } from './state/notify.ts';
import { followPreferences } from './state/preferences.ts';
import { followSession } from './state/session.ts';

followPreferences();
followSession();
followLive();
followEnds();
followDrafts();
const root = document.getElementById('app');
if (root) render(<App />, root);
