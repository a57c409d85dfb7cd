/** Kinora as a later version would be: a copy of its source in which the contract is raised, as its maker would raise it. */
import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * @param folder where the copy goes
 * @param isAsking also requests that come in there ask for the raised contract
 */
export async function copyWithContract(folder: string, contract: number, isAsking: boolean): Promise<void> {
  for (const part of ['src', 'tests/helpers', 'package.json', 'tsconfig.json']) {
    await cp(join(root, part), join(folder, part), { recursive: true });
  }
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  const edit = async (file: string, before: string, after: string): Promise<void> => {
    const text = await readFile(join(folder, file), 'utf8');
    if (text.split(before).length !== 2) throw new Error(`${file} does not say "${before}" once`);
    await writeFile(join(folder, file), text.replace(before, after));
  };
  await edit('src/queue/contract.ts', 'export const contract = 1;', `export const contract = ${contract};`);
  if (!isAsking) return;
  const [field, asking] = [
    '  contract: contractField,\n  id:',
    `  contract: contractField.default(${contract}),\n  id:`,
  ];
  await edit('src/queue/jobs.ts', field, asking);
}
