/** The folders that everything of Kinora's lies in. */
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of package.json. */
export const projectFolder = fileURLToPath(new URL('..', import.meta.url));

/**
 * Where the settings, data, CUDA libraries and further models lie by default: beside package.json in a checkout, below
 * the person's own folder where Kinora was installed as a package, because an update replaces that one.
 */
export const homeFolder = isInstalledPackage() ? path.join(homedir(), '.kinora') : projectFolder;

function isInstalledPackage(): boolean {
  return projectFolder.split(path.sep).includes('node_modules');
}
