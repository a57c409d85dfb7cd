/** How Kinora's commands are called here, for sentences that name one. */
import { place } from './home.ts';

/** Commands that package.json has a script of its own for. */
const scripts: Readonly<Record<string, string>> = {
  start: 'npm start',
  animate: 'npm run animate',
  doctor: 'npm run doctor',
  'setup-cuda': 'npm run setup:cuda',
};

/**
 * What is typed where this Kinora runs: by npm in a checkout, by npx where it is an installed package, by its name in a
 * container of its image. Outside the package's folder npx would ask the registry for a package called kinora, which is
 * not this one: it is told not to.
 * @param args as one text
 */
export function calledAs(command: string, args = '', where = place): string {
  const script = scripts[command];
  const rest = args === '' ? '' : ` ${args}`;
  if (where === 'image') return `kinora ${command}${rest}`;
  if (where === 'package') return `npx --no-install kinora ${command}${rest}`;
  if (script === undefined) return `npm run kinora -- ${command}${rest}`;
  return script + (rest && ` --${rest}`);
}
