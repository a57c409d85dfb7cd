/** The example photographs of the project. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

type Example = 'astronaut' | 'cat' | 'coffee';

export const examplePath = (name: Example): string =>
  fileURLToPath(new URL(`../../examples/${name}.jpg`, import.meta.url));

export const example = (name: Example): Promise<Buffer> => readFile(examplePath(name));
