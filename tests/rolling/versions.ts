/** The versions of Kinora that a rolling update goes through, each as a folder that its processes are started from. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { copyWithContract } from '../helpers/other-version.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
/** Of `npm ci`. */
const installMs = 900_000;

export interface Version {
  readonly name: string;
  /** Its checkout. */
  readonly root: string;
}

const git = async (...args: readonly string[]): Promise<string> =>
  (await run('git', args, { cwd: root })).stdout.trim();

/**
 * What the new version replaces: what was asked for, the newest tag before this commit, or, as a clone may lack tags, the newest
 * commit of a release before it.
 * @throws Error with one sentence where there is none of them
 */
export async function previousRef(asked: string | undefined): Promise<{ ref: string; why: string }> {
  if (asked !== undefined) return { ref: asked, why: 'as asked for' };
  const found = async (...args: readonly string[]): Promise<string> => await git(...args).catch(() => '');
  const tag = await found('describe', '--tags', '--abbrev=0', '--match', 'v[0-9]*', 'HEAD^');
  if (tag !== '') return { ref: tag, why: 'the newest tag' };
  const subject = '^Release [0-9]+\\.[0-9]+\\.[0-9]+$';
  const release = await found('log', '-1', '--format=%H', '--extended-regexp', `--grep=${subject}`, 'HEAD^');
  if (release !== '') return { ref: release, why: 'there is no tag; the newest commit of a release' };
  throw new Error(
    'There is no tag and no commit "Release X.Y.Z" before this one: fetch them ("git fetch --unshallow --tags"), or name a version with --old.',
  );
}

/** @throws Error with one sentence where this checkout does not have the commit */
export async function checkOut(ref: string, folder: string): Promise<Version> {
  const commit = await git('rev-parse', '--verify', '--quiet', `${ref}^{commit}`).catch(() => {
    throw new Error(
      `This checkout does not have ${ref}: fetch it ("git fetch --unshallow --tags"), or name another version with --old.`,
    );
  });
  await mkdir(folder, { recursive: true });
  const archive = join(folder, 'archive.tar');
  await git('archive', '--output', archive, commit);
  await run('tar', ['-xf', archive, '-C', folder]);
  const lock = async (of: string): Promise<string> => await readFile(join(of, 'package-lock.json'), 'utf8');
  if ((await lock(root)) === (await lock(folder))) {
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  } else await run('npm', ['ci'], { cwd: folder, timeout: installMs });
  return { name: 'old', root: folder };
}

export const present: Version = { name: 'new', root };

/** A version to come, whose requests the present one does not understand. */
export async function nextVersion(folder: string, contract: number): Promise<Version> {
  await mkdir(folder, { recursive: true });
  await copyWithContract(folder, contract, true);
  await cp(join(root, 'models/builtin'), join(folder, 'models/builtin'), { recursive: true });
  return { name: 'next', root: folder };
}
