/** The folders that everything of Kinora's lies in. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of package.json. */
export const projectFolder = fileURLToPath(new URL('..', import.meta.url));

/** As what Kinora runs; only its image has the health check beside package.json. */
export const place = projectFolder.split(path.sep).includes('node_modules')
  ? 'package'
  : existsSync(path.join(projectFolder, 'healthcheck.mjs'))
    ? 'image'
    : 'checkout';

/**
 * Where the settings, data, CUDA libraries and further models lie by default: beside package.json in a checkout, below
 * the person's own folder where Kinora was installed as a package, because an update replaces that one.
 */
export const homeFolder = place === 'package' ? path.join(homedir(), '.kinora') : projectFolder;
