/** pip as a downloader: it unpacks wheels into a folder; nothing of them is run. */
import { mkdir, readdir, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { run, SetupError } from './run-program.ts';

/** Wheels of these kinds run on every Linux that onnxruntime-node runs on. */
const wheelPlatforms = ['manylinux_2_28', 'manylinux_2_27', 'manylinux_2_17', 'manylinux2014'];
/** The Python version of the wheels; any will do, because only shared libraries are taken from them. */
const wheelPython = '3.12';

/** The name of a Python that has pip. */
async function findPip(signal: AbortSignal): Promise<string> {
  let hasPython = false;
  for (const python of ['python3', 'python']) {
    const code = await run(python, ['-m', 'pip', '--version'], signal, {}, 'hidden');
    if (code === 0) return python;
    hasPython ||= code !== undefined;
  }
  throw new SetupError(
    hasPython
      ? 'Python is installed, but its pip is not; install it (on Debian and Ubuntu: apt install python3-pip).'
      : 'Python 3 with pip is needed for the download and was not found; install it (on Debian and Ubuntu: apt install python3-pip).',
  );
}

/** Unpacks wheels into `target`. */
export async function pipInstall(
  target: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const python = await findPip(signal);
  const temporary = `${target}.tmp`;
  await mkdir(temporary, { recursive: true });
  const command = [
    ...['-m', 'pip', 'install', '--target', target, '--no-cache-dir', '--no-compile', '--no-input'],
    ...['--disable-pip-version-check', '--only-binary', ':all:'],
    ...['--python-version', wheelPython, '--implementation', 'cp'],
    ...wheelPlatforms.flatMap((platform) => ['--platform', `${platform}_x86_64`]),
    ...args,
  ];
  // Overrides settings of the user's that contradict --target; temporary files go to the disk of the target.
  const environment = {
    PIP_USER: '0',
    PIP_REQUIRE_VIRTUALENV: '0',
    PIP_ROOT_USER_ACTION: 'ignore',
    TMPDIR: temporary,
  };
  const code = await run(python, command, signal, environment);
  signal.throwIfAborted();
  if (code !== 0) {
    throw new SetupError(
      `pip could not install ${args.filter((arg) => !arg.startsWith('-')).join(', ')} (exit code ${code}); its own words are above. Nothing was installed.`,
    );
  }
}

/** Names and versions of the packages that pip unpacked into a folder. */
export async function packagesIn(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder);
  return Object.fromEntries(
    entries.flatMap((entry) => {
      const match = /^(.+)-([^-]+)\.dist-info$/.exec(entry);
      return match ? [[(match[1] ?? '').replaceAll('_', '-'), match[2] ?? '']] : [];
    }),
  );
}

/** Moves the licences of unpacked wheels beside the libraries. */
export async function keepLicences(wheels: string, made: string): Promise<void> {
  const folders = (await readdir(wheels)).filter(
    (name) => name.endsWith('.dist-info') || name === 'onnxruntime',
  );
  for (const folder of folders) {
    const entries = await readdir(path.join(wheels, folder), { recursive: true });
    for (const entry of entries) {
      if (!/(^|\/)(licen[cs]e|thirdpartynotices)[^/]*$/i.test(entry)) continue;
      const file = path.join(wheels, folder, entry);
      if (!(await stat(file)).isFile()) continue;
      await mkdir(path.join(made, 'licences'), { recursive: true });
      const name = `${folder.replace(/-.*$/, '')}-${path.basename(entry)}`;
      await rename(file, path.join(made, 'licences', name));
    }
  }
}
