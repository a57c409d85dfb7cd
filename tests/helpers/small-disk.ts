/** A file system of its own with very little room, for tests of a full disk. Linux only. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';

/**
 * Mounts one at `folder`, which is absent or empty. Without root it is mounted in a namespace of its own, and `folder` is
 * a link to it. Returns a function that unmounts it.
 * @throws where neither is allowed
 */
export async function mountSmallDisk(
  folder: string,
  kilobytes: number,
  inodes = 10_000,
): Promise<() => void> {
  const options = `size=${kilobytes}k,nr_inodes=${inodes},mode=700`;
  const mount = ['-t', 'tmpfs', '-o', options, 'kinora-test'];
  mkdirSync(folder, { recursive: true });
  // Root in a container may not mount either.
  if (process.getuid?.() === 0 && spawnSync('mount', [...mount, folder], { stdio: 'ignore' }).status === 0) {
    return () => execFileSync('umount', ['-l', folder]);
  }
  const place = `${folder}.disk`;
  mkdirSync(place);
  // The mount lives as long as this process; other processes of the user reach it through its root.
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
      'This test mounts a small file system: run it as root, where users may have namespaces, or in a container that may mount ("docker run --privileged").',
    );
  rmSync(folder, { recursive: true, force: true });
  symlinkSync(`/proc/${holder.pid}/root${place}`, folder);
  return () => {
    rmSync(folder);
    holder.kill();
  };
}
