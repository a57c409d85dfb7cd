/** A file system of its own with very little room, for tests of a full disk. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/**
 * Mounts one at `folder`. Returns how to take it away again.
 * @throws where this process may not mount: a full disk that is only pretended would prove nothing
 */
export function mountSmallDisk(folder: string, kilobytes: number): () => void {
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k,mode=700`, 'kinora-test', folder]);
  } catch (error) {
    throw new Error('This test mounts a small file system: run it as root, in a container or elsewhere.', {
      cause: error,
    });
  }
  return () => execFileSync('umount', ['-l', folder]);
}
