import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const project = path.resolve(import.meta.dirname, '..');

it('the tests stop at once where redis-server is missing, and say what to install', async () => {
  const bin = mkdtempSync(path.join(tmpdir(), 'kinora-bin-'));
  symlinkSync(process.execPath, path.join(bin, 'node'));
  const args = [path.join(project, 'node_modules/vitest/vitest.mjs'), 'run', 'tests/queue/ledger.test.ts'];
  // Vitest tells a run inside of another one by its variables.
  const run = promisify(execFile)(process.execPath, args, {
    cwd: project,
    env: { PATH: bin },
    timeout: 40_000,
  });
  await expect(run).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^The tests need redis-server and ps: run "sudo apt-get install redis-server/m,
    ),
  });
  rmSync(bin, { recursive: true });
});
