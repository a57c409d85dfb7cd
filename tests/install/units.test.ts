/** The units of systemd: read and judged by systemd's own tool where it is installed. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { environmentSchema } from '../../src/config.ts';
import { errorCatalogue } from '../../src/errors.ts';

const folder = path.resolve(import.meta.dirname, '../../deploy/systemd');
const units = readdirSync(folder).filter((name) => name.endsWith('.service'));
const analyze = (...args: string[]) =>
  spawnSync('systemd-analyze', args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_PAGER: '' },
  });
const hasTool = analyze('--version').status === 0;
const linesOf = (unit: string, name: string): string[] =>
  [...readFileSync(path.join(folder, unit), 'utf8').matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(
    ([, value = '']) => value,
  );

it('are three', () => {
  expect(units.sort()).toEqual(['kinora-bot.service', 'kinora-worker@.service', 'kinora.service']);
});

describe.each(units)('%s', (unit) => {
  it('sets what exists', () => {
    const names = linesOf(unit, 'Environment').map((value) => value.split('=')[0] ?? '');
    expect(names.filter((name) => name !== 'HOME' && !(name in environmentSchema.shape))).toEqual([]);
  });

  it('waits for longer than a stop with the default grace can take', () => {
    const { KINORA_GRACE_SECONDS } = environmentSchema.parse({});
    expect(Number(linesOf(unit, 'TimeoutStopSec')[0])).toBeGreaterThanOrEqual(KINORA_GRACE_SECONDS + 30);
    expect(linesOf(unit, 'KillMode')).toEqual(['mixed']);
  });

  it('is not started again after a refusal', () => {
    const codes = (['INVALID_CONFIG', 'PACK_INVALID', 'DEVICE_UNAVAILABLE'] as const).map(
      (code) => errorCatalogue[code].exitCode,
    );
    expect(linesOf(unit, 'RestartPreventExitStatus')).toEqual([codes.join(' ')]);
  });

  it.runIf(hasTool)('is understood by systemd', () => {
    const verified = analyze('verify', '--man=no', unit.replace('@', '@cpu'));
    // Without the user that sysusers makes, and other units of this machine, it has its own complaints.
    const about = verified.stderr.split('\n').filter((line) => line.includes('kinora'));
    expect(about).toEqual([]);
  });

  it.runIf(hasTool)('leaves little open', () => {
    const judged = analyze('security', '--offline=yes', '--threshold=20', unit.replace('@', '@cpu'));
    expect(judged.stdout + judged.stderr).toMatch(/exposure level/);
    expect(judged.status).toBe(0);
  });
});
