/** What `npm run` changes before a command sees it: the current folder, and options that npm took for its own. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { CommandError } from './command-error.ts';

const packageFile = fileURLToPath(new URL('../../package.json', import.meta.url));
/** npm's own meaning of short options of ours. Others of its short options are in use with npm itself. */
const shortNames: Readonly<Record<string, string>> = { '-p': 'parseable', '-m': 'message', '-o': 'o' };

const isNpmRun = (environment: NodeJS.ProcessEnv): boolean => environment['npm_package_json'] === packageFile;

/** npm runs scripts in the folder of package.json; paths count from where the person called it. */
export function enterCallersFolder(environment = process.env): void {
  const folder = environment['INIT_CWD'];
  if (folder === undefined || !isNpmRun(environment) || process.cwd() !== path.dirname(packageFile)) return;
  try {
    process.chdir(folder);
  } catch {
    // It is gone: paths count from the folder of package.json.
  }
}

/**
 * Without "--", npm keeps options for itself and hands on their values as arguments.
 * @throws CommandError that names them
 */
export function refuseSwallowedOptions(
  program: Command,
  args: readonly string[],
  environment = process.env,
): void {
  const script = environment['npm_lifecycle_event'];
  const command = program.commands.find((each) => each.name() === args[0]);
  if (script === undefined || !command || !isNpmRun(environment)) return;
  const isSwallowed = (flag: string, name: string): boolean =>
    environment[`npm_config_${name.replaceAll('-', '_')}`] !== undefined &&
    !args.some((argument) => argument === flag || argument.startsWith(`${flag}=`));
  const swallowed = command.options.flatMap(({ long, short }) => {
    if (long && isSwallowed(long, long.replace(/^--(no-)?/, ''))) return [long];
    const name = short && shortNames[short];
    return name && isSwallowed(short, name) && !(long && args.includes(long)) ? [short] : [];
  });
  if (swallowed.length === 0) return;
  throw new CommandError(
    `npm took ${swallowed.join(', ')} for itself. Put "--" before the arguments: npm run ${script} -- … ${swallowed.join(' ')}`,
    'INVALID_OPTION',
  );
}
