/**
 * Finds an ffmpeg that can do what Kinora needs. Knows no environment variable: the configured path comes as an
 * argument, and PATH is searched by the operating system when a bare name is started.
 */
import { execFile } from 'node:child_process';
import { chmod, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { KinoraError } from '../errors.ts';
import { programEnvironment } from '../program-environment.ts';

const run = promisify(execFile);
/** A cold start of a 70 MB static binary from a slow disk takes seconds, not more. */
const probeDeadlineMs = 20_000;

export interface FfmpegBinary {
  /** What to start: an absolute path, or the bare name when it comes from PATH. */
  readonly path: string;
  /** As it calls itself: "5.1.9-0+deb12u1", "N-47683-g0e8eb07980-static". */
  readonly version: string;
  readonly source: 'configured' | 'path' | 'npm';
}

interface Candidate {
  readonly path: string;
  readonly source: FfmpegBinary['source'];
}

export interface FindFfmpegOptions {
  /** FFMPEG_PATH of the configuration. When given, nothing else is tried: a wrong setting must not hide. */
  readonly ffmpegPath?: string | undefined;
  /** The name that is looked up in PATH. */
  readonly command?: string;
  /** The npm package that ships ffmpeg as a plain file. */
  readonly npmPackage?: string;
}

/**
 * The configured ffmpeg, else the one in PATH, else the one of the optional npm package.
 *
 * @throws KinoraError FFMPEG_MISSING, saying what was tried and why each was refused.
 */
export async function findFfmpeg(options: FindFfmpegOptions = {}): Promise<FfmpegBinary> {
  const { ffmpegPath, command = 'ffmpeg', npmPackage = '@ffmpeg-installer/ffmpeg' } = options;
  const refusals: string[] = [];
  const check = async (candidate: Candidate): Promise<FfmpegBinary | undefined> => {
    const result = await probe(candidate.path);
    if ('version' in result) return { ...candidate, version: result.version };
    refusals.push(`${describeCandidate(candidate)} ${result.refusal}`);
    return undefined;
  };

  if (ffmpegPath !== undefined && ffmpegPath !== '') {
    const found = await check({ path: ffmpegPath, source: 'configured' });
    if (found) return found;
  } else {
    const inPath = await check({ path: command, source: 'path' });
    if (inPath) return inPath;
    const packaged = locatePackaged(npmPackage);
    if (packaged === undefined) {
      refusals.push(`the npm package ${npmPackage} is not installed for this platform`);
    } else {
      await ensureExecutable(packaged);
      const found = await check({ path: packaged, source: 'npm' });
      if (found) return found;
    }
  }
  throw new KinoraError('FFMPEG_MISSING', `No usable ffmpeg was found: ${refusals.join('; ')}.`);
}

function describeCandidate({ path, source }: Candidate): string {
  if (source === 'configured') return `FFMPEG_PATH (${path})`;
  return source === 'path' ? `"${path}" in PATH` : 'the ffmpeg of the npm package';
}

/** One start answers both questions: the banner on stderr names the version, stdout lists the encoders. */
async function probe(path: string): Promise<{ version: string } | { refusal: string }> {
  try {
    const { stdout, stderr } = await run(path, ['-encoders'], {
      env: programEnvironment(),
      timeout: probeDeadlineMs,
      killSignal: 'SIGKILL',
      maxBuffer: 4 * 1024 * 1024,
      windowsHide: true,
    });
    const version = /ffmpeg version (\S+)/.exec(stderr)?.[1];
    if (version === undefined) return { refusal: 'is not ffmpeg' };
    if (!/^\s*V\S*\s+libx264\s/m.test(stdout)) return { refusal: `(${version}) has no libx264 encoder` };
    return { version };
  } catch (error) {
    return { refusal: refusalOf(error) };
  }
}

function refusalOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'does not run';
  if ('killed' in error && error.killed === true) return `did not answer in ${probeDeadlineMs / 1000} s`;
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'does not exist';
  if (code === 'EACCES') return 'may not be executed';
  return typeof code === 'string' || typeof code === 'number' ? `does not run (${code})` : 'does not run';
}

/** The package throws a plain string on platforms that it does not support. */
function locatePackaged(npmPackage: string): string | undefined {
  try {
    const loaded: unknown = createRequire(import.meta.url)(npmPackage);
    const path = typeof loaded === 'object' && loaded !== null && 'path' in loaded ? loaded.path : undefined;
    return typeof path === 'string' ? path : undefined;
  } catch {
    return undefined;
  }
}

/** Some installers and copies of node_modules lose the executable bit; the probe reports it when this fails. */
async function ensureExecutable(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  try {
    const { mode } = await stat(path);
    if ((mode & 0o111) !== 0o111) await chmod(path, mode | 0o111);
  } catch {
    // No permission to change it: if it cannot be executed, starting it fails with the reason.
  }
}
