/** A file system of its own with very little room, for tests of a full disk. Linux only. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';

/**
 * Mounts one at `folder`, which is absent or empty. Whoever is not root gets it in a namespace of their own, and a link
 * at `folder` that leads there. Returns how to take it away again.
 * @throws where this process may do neither: a full disk that is only pretended would prove nothing
 */
export async function mountSmallDisk(folder: string, kilobytes: number): Promise<() => void> {
  const mount = ['-t', 'tmpfs', '-o', `size=${kilobytes}k,mode=700`, 'kinora-test'];
  if (process.getuid?.() === 0) {
    mkdirSync(folder, { recursive: true });
    execFileSync('mount', [...mount, folder]);
    return () => execFileSync('umount', ['-l', folder]);
  }
  const place = `${folder}.disk`;
  mkdirSync(place);
  // The disk lives as long as this process, and everybody of this user sees it through its root.
  const script = 'mount "$@" && echo ready && exec cat';
  const holder = spawn(
    'unshare',
    ['--user', '--map-root-user', '--mount', 'sh', '-c', script, 'sh', ...mount, place],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const mounted = await Promise.race([
    once(holder.stdout, 'data').then(() => true),
    once(holder, 'close').then(() => false),
  ]);
  if (!mounted)
    throw new Error(
      'This test mounts a small file system: run it as root, or where users may have namespaces.',
    );
  rmSync(folder, { recursive: true, force: true });
  symlinkSync(`/proc/${holder.pid}/root${place}`, folder);
  return () => {
    rmSync(folder);
    holder.kill();
  };
}
