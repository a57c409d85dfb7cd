/** Files that appear complete or not at all: written under a temporary name in the same folder, then renamed. */
import { rename, rm } from 'node:fs/promises';

/**
 * Hands a temporary name to `write`, then renames that file to `path`. Whatever fails, no temporary file is left.
 *
 * @param temporary in the folder of `path`; two processes that write the same path need different ones
 * @throws what `write` throws, and the file system's errors
 */
export async function replaceFile<T>(
  path: string,
  write: (temporary: string) => Promise<T>,
  temporary = `${path}.part`,
): Promise<T> {
  try {
    const result = await write(temporary);
    await rename(temporary, path);
    return result;
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}
