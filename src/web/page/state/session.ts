/** Who is signed in. */
import { ApiError, call, connection } from '../api/client.ts';
import type { Me } from '../api/types.ts';
import { createStore } from './store.ts';

export type Session =
  | { readonly kind: 'loading' }
  | { readonly kind: 'signed-in'; readonly me: Me }
  | { readonly kind: 'signed-out' }
  /** Nothing is known: the server did not answer yet. */
  | { readonly kind: 'unreachable' };

export const session = createStore<Session>({ kind: 'loading' });

/** Asks who is signed in, and shows it. Called again after what changes it: credits, signing in and out. */
export async function refreshSession(): Promise<void> {
  try {
    session.set({ kind: 'signed-in', me: await call<Me>('/v1/me') });
  } catch (error) {
    const isSignedOut = error instanceof ApiError && error.status === 401;
    if (isSignedOut) session.set({ kind: 'signed-out' });
    else if (session.get().kind !== 'signed-in') session.set({ kind: 'unreachable' });
  }
}

const askAgainMs = 5_000;

/** Keeps the session true: a call that is answered with 401 ends it, and a server that comes back is asked again. */
export function followSession(): void {
  void refreshSession();
  connection.subscribe(() => {
    if (connection.get() === 'signed-out') session.set({ kind: 'signed-out' });
  });
  setInterval(() => {
    const isLost =
      connection.get() === 'unreachable' ||
      connection.get() === 'no-queue' ||
      session.get().kind === 'unreachable';
    if (isLost) void refreshSession();
  }, askAgainMs);
}

export function isAdmin({ scopes }: Me): boolean {
  return scopes.includes('admin');
}
