/** Leaves nothing of somebody who has signed out, or was signed out, to whoever uses this browser next. */
import { type Session, session } from '../state/session.ts';
import { dropDraftsOfOthers } from './draft.ts';

const userOf = (now: Session): string | undefined => (now.kind === 'signed-in' ? now.me.user : undefined);

export function followDrafts(): void {
  let last = session.get();
  session.subscribe(() => {
    const now = session.get();
    // Nothing is known of who it is as long as the server does not answer.
    if (now.kind !== 'signed-in' && now.kind !== 'signed-out') return;
    if (now.kind !== last.kind || userOf(now) !== userOf(last)) void dropDraftsOfOthers(userOf(now));
    last = now;
  });
}
