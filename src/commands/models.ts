/** `kinora models list | verify | path`. */
import type { Config } from '../config.ts';
import { KinoraError } from '../errors.ts';
import { findPacks, verifyPack } from '../inference/packs/files.ts';
import { choosePack } from './packs.ts';

export async function listModels(config: Config): Promise<void> {
  const found = await findPacks(config.modelsDirs);
  if (found.length === 0) {
    throw new KinoraError('PACK_NOT_FOUND', `There is no model pack in ${config.modelsDirs.join(' or ')}.`);
  }
  for (const { name, folder, pack } of found) {
    const mark = config.models.includes(name) ? '*' : ' ';
    if (pack instanceof KinoraError) {
      process.stdout.write(`${mark} ${name.padEnd(20)} broken: ${pack.message}\n`);
      continue;
    }
    const { manifest } = pack;
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    const { side, numFrames } = manifest.limits;
    process.stdout.write(
      [
        `${mark} ${name.padEnd(20)} ${manifest.title}\n`,
        `  ${''.padEnd(20)} ${manifest.id}, family ${manifest.family}, ${manifest.flavour}, ${(bytes / 1e6).toFixed(0)} MB, licence ${manifest.licence}\n`,
        `  ${''.padEnd(20)} sides ${side.min} to ${side.max}, ${numFrames.min} to ${numFrames.max} frames\n`,
        ...(manifest.attribution === undefined ? [] : [`  ${''.padEnd(20)} ${manifest.attribution}\n`]),
        `  ${''.padEnd(20)} ${folder}\n`,
      ].join(''),
    );
  }
}

/** Checks every byte and prints the problems. Throws PACK_INVALID when there are some. */
export async function verifyModel(config: Config, name: string): Promise<void> {
  const pack = await choosePack(config, name);
  const problems = await verifyPack(pack);
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  if (problems.length > 0) {
    throw new KinoraError('PACK_INVALID', `The model pack ${name} has ${problems.length} problem(s).`);
  }
  process.stdout.write(`${name}: all ${pack.manifest.files.length} files are intact.\n`);
}

export async function printModelPath(config: Config, name: string): Promise<void> {
  process.stdout.write(`${(await choosePack(config, name)).folder}\n`);
}
