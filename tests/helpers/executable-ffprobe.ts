/** Vitest's global setup: the package of ffprobe sets the executable bit in an install script, and .npmrc allows none. */
import { chmodSync } from 'node:fs';
import ffprobe from '@ffprobe-installer/ffprobe';

export default function makeExecutable(): void {
  chmodSync(ffprobe.path, 0o755);
}
