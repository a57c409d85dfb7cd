/** A session whose runs a test watches, fails or forbids; all else is the real one's. */
import type { PackSession } from '../../src/inference/residency/pack-session.ts';

export function withRun(session: PackSession, run: PackSession['run']): PackSession {
  return new Proxy(session, {
    get: (target, name) => (name === 'run' ? run : Reflect.get(target, name, target)),
  });
}
