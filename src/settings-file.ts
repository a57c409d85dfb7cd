/** Where settings are written: .env and the environment. Knows the names of those that are paths, and checks none. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { parse as parseDotenv } from 'dotenv';
import { KinoraError } from './errors.ts';
import { homeFolder } from './home.ts';

type Values = Record<string, string>;

/** Settings that are paths. A relative path in .env starts at the folder of that file, others at the current folder. */
const pathNames: ReadonlySet<string> = new Set(['KINORA_DATA_DIR', 'KINORA_MODELS_DIR', 'KINORA_INBOX']);
/** Settings that are a path if they contain a slash, else a name. */
const nameOrPathNames: ReadonlySet<string> = new Set(['KINORA_MODEL', 'FFMPEG_PATH']);

/** The names of proxies are also written in small letters, and mean the same. */
function withoutEmpty(values: Readonly<Record<string, string | undefined>>): Values {
  return Object.fromEntries(
    Object.entries(values)
      .filter((entry): entry is [string, string] => (entry[1] ?? '').trim() !== '')
      .map(([name, value]) => [/^(https?|all|no)_proxy$/.test(name) ? name.toUpperCase() : name, value]),
  );
}

function withAbsolutePaths(values: Values, folder: string): Values {
  const absolute = (name: string, file: string): string => {
    const isPath = pathNames.has(name) || (nameOrPathNames.has(name) && /[\\/]/.test(file));
    return isPath ? path.resolve(folder, withHome(file.trim())) : file;
  };
  const each = ([name, value]: [string, string]): [string, string] => {
    const files = name === 'KINORA_MODEL' ? value.split(',') : [value];
    return [name, files.map((file) => absolute(name, file)).join()];
  };
  return Object.fromEntries(Object.entries(values).map(each));
}

/** "~" is the home folder also where no shell has replaced it. */
function withHome(file: string): string {
  return file.replace(/^~(?=$|[\\/])/, () => homedir());
}

/** Where the file of settings lies, or would lie. */
export function settingsFile(environment: NodeJS.ProcessEnv = process.env): string {
  const named = environment['KINORA_ENV_FILE']?.trim();
  return path.resolve(named ? withHome(named) : path.join(homeFolder, '.env'));
}

/** The settings of .env and of the environment, unchecked. */
export function readValues(environment: NodeJS.ProcessEnv): Values {
  const fromEnvironment = withoutEmpty(environment);
  const file = settingsFile(environment);
  const fromFile = readSettingsFile(file, fromEnvironment['KINORA_ENV_FILE'] !== undefined);
  return {
    ...withAbsolutePaths(withoutEmpty(fromFile), path.dirname(file)),
    ...withAbsolutePaths(fromEnvironment, process.cwd()),
  };
}

function readSettingsFile(file: string, isNamed: boolean): Values {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' && !isNamed) return {};
    const what = isNamed ? `KINORA_ENV_FILE: ${file}` : file;
    throw new KinoraError('INVALID_CONFIG', `${what} cannot be read (${code}).`, {
      cause,
      remedy: 'Correct its name, or let this user read it.',
    });
  }
  // Nothing of it would be understood: every second byte is zero. The two first ones are UTF-16's mark.
  if (bytes.includes(0) || /^(\xff\xfe|\xfe\xff)/.test(bytes.toString('latin1', 0, 2))) {
    throw new KinoraError('INVALID_CONFIG', `${file} is not UTF-8 text; it looks like UTF-16.`, {
      remedy: 'Save it as UTF-8 ("Encoding" in the editor\'s dialog) and start again.',
    });
  }
  return parseDotenv(bytes);
}
