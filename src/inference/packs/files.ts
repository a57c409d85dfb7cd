/**
 * Model packs on disk: finding packs, reading manifests, comparing files with them. A pack may come from anywhere, so
 * nothing in it is trusted before it was checked. Opens no session.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { KinoraError } from '../../errors.ts';
import { graphNames } from './graphs.ts';
import { type PackManifest, packManifestSchema } from './manifest.ts';

const manifestName = 'kinora.json';
const largestManifestBytes = 4_000_000;

export interface Pack {
  /** Absolute. */
  readonly folder: string;
  readonly manifest: PackManifest;
}

/** Reads the manifest of the pack in `folder`. Throws PACK_NOT_FOUND or PACK_INVALID with what is wrong. */
export async function loadPack(folder: string): Promise<Pack> {
  const absolute = path.resolve(folder);
  const file = path.join(absolute, manifestName);
  let text: string;
  try {
    const entry = await stat(file);
    if (!entry.isFile() || entry.size > largestManifestBytes) {
      throw new KinoraError('PACK_INVALID', `${file} is not a manifest, or too large for one.`);
    }
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof KinoraError) throw cause;
    throw new KinoraError('PACK_NOT_FOUND', `There is no model pack in ${absolute} (no ${manifestName}).`, {
      cause,
    });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new KinoraError('PACK_INVALID', `${file} is not valid JSON.`, { cause });
  }
  const parsed = packManifestSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.join('.') || 'the whole';
    throw new KinoraError('PACK_INVALID', `${file}: ${where}: ${issue?.message}.`, { cause: parsed.error });
  }
  return { folder: absolute, manifest: parsed.data };
}

export interface FoundPack {
  readonly name: string;
  readonly folder: string;
  /** The pack, or the reason why it cannot be used. */
  readonly pack: Pack | KinoraError;
}

/** The folders with a manifest directly below the given ones, in order; of equal names the first one counts. */
export async function findPacks(parents: readonly string[]): Promise<FoundPack[]> {
  const found = new Map<string, FoundPack>();
  for (const parent of parents) {
    const names = await readdir(parent).catch(() => []);
    for (const name of names.sort()) {
      const folder = path.join(parent, name);
      const hasManifest = await stat(path.join(folder, manifestName)).then(
        (entry) => entry.isFile(),
        () => false,
      );
      if (!hasManifest || found.has(name)) continue;
      const pack = await loadPack(folder).catch((error: unknown) => {
        if (error instanceof KinoraError) return error;
        throw error;
      });
      found.set(name, { name, folder, pack });
    }
  }
  return [...found.values()];
}

export interface VerifyProgress {
  readonly path: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/**
 * Compares every file with the manifest: presence, size, SHA-256. Also finds unlisted files in the folders that sessions
 * and tokenizer are loaded from.
 * @returns one sentence per problem; empty when the pack is intact
 */
export async function verifyPack(
  { folder, manifest }: Pack,
  onProgress: (progress: VerifyProgress) => void = () => {},
): Promise<string[]> {
  const problems: string[] = [];
  const bytesTotal = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  let bytesDone = 0;
  for (const file of manifest.files) {
    const problem = await checkFile(folder, file);
    if (problem) {
      problems.push(problem);
    } else if ((await sha256(path.join(folder, file.path))) !== file.sha256) {
      problems.push(`${file.path} differs from what was published (its SHA-256 does not match).`);
    }
    bytesDone += file.bytes;
    onProgress({ path: file.path, bytesDone, bytesTotal });
  }
  return [...problems, ...(await findUnlisted(folder, manifest))];
}

/** Checks presence and size, which is fast enough for every start. Returns one sentence about the problem, if any. */
async function checkFile(folder: string, file: PackManifest['files'][number]): Promise<string | undefined> {
  try {
    const real = await realpath(path.join(folder, file.path));
    // A symbolic link, of the file or of a folder above it, could lead to any file of this machine.
    if (!real.startsWith((await realpath(folder)) + path.sep))
      return `${file.path} links to outside the pack.`;
    const entry = await stat(real);
    if (!entry.isFile()) return `${file.path} is not a file.`;
    if (entry.size !== file.bytes) return `${file.path} has ${entry.size} bytes, expected ${file.bytes}.`;
    return undefined;
  } catch {
    return `${file.path} is missing.`;
  }
}

/** Files that a loader might read although the manifest does not list them. Notes beside the manifest do no harm. */
async function findUnlisted(folder: string, manifest: PackManifest): Promise<string[]> {
  const listed = new Set(manifest.files.map((file) => file.path));
  const unlisted: string[] = [];
  for (const part of [...graphNames, 'tokenizer', 'scheduler']) {
    const entries = await readdir(path.join(folder, part), { recursive: true, withFileTypes: true }).catch(
      () => [],
    );
    for (const entry of entries) {
      const file = path.relative(folder, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, '/');
      // Finder and editors leave dot files everywhere; no listed graph can refer to one that is not listed.
      if (!entry.isDirectory() && !entry.name.startsWith('.') && !listed.has(file))
        unlisted.push(`${file} is not listed in ${manifestName}.`);
    }
  }
  return unlisted;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Packs up to this size are hashed at every start, before native code reads them: it takes a fraction of a second. */
const alwaysVerifiedBytes = 256 * 1024 ** 2;

/**
 * Compares every file with the manifest by size, and small packs by SHA-256 too (`kinora models verify` hashes all).
 * @throws KinoraError PACK_INVALID naming the first problem
 */
export async function assertIntact(pack: Pack): Promise<void> {
  const { folder, manifest } = pack;
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  const problems =
    bytes <= alwaysVerifiedBytes
      ? await verifyPack(pack)
      : await Promise.all(manifest.files.map((file) => checkFile(folder, file)));
  const problem = problems.find((text) => text !== undefined);
  if (problem !== undefined) {
    throw new KinoraError('PACK_INVALID', `The model pack ${manifest.id} is damaged: ${problem}`);
  }
}
