/** Vitest's global setup of the tests that start processes: stops before the first of them when a program is missing. */
import { spawnSync } from 'node:child_process';

const needed = ['redis-server', 'ps'];

export default function refuseWithoutPrograms(): void {
  const missing = needed.filter((program) => spawnSync(program, ['--version']).error !== undefined);
  if (missing.length === 0) return;
  process.stderr.write(
    `The tests need ${missing.join(' and ')}: run "sudo apt-get install redis-server procps" or "brew install redis"; "npm run test:fast" does without.\n`,
  );
  process.exit(1);
}
