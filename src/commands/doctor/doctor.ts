/** `kinora doctor`: checks this machine and prints a remedy for every problem. */
import type { inspectConfig } from '../../config.ts';
import { errorCatalogue } from '../../errors.ts';
import type { Check } from './check.ts';
import { checkDisk, checkFfmpeg, checkNode, checkRedis, checkSettings } from './machine.ts';
import { checkDevice, checkGpu, checkMainMemory, checkPacks } from './model.ts';
import { checkChats, checkInbox, checkPorts, checkRedisServer, checkSecrecy } from './serving.ts';
import { checkStorage } from './storage.ts';

type Settings = ReturnType<typeof inspectConfig>;

async function examine({ config, problems }: Settings): Promise<Check[]> {
  const checks: (() => Check | Promise<Check | Check[]>)[] = [
    checkNode,
    () => checkSettings(problems),
    () => checkSecrecy(),
    () => checkFfmpeg(config),
    () => checkPacks(config),
    () => checkGpu(config),
    () => checkMainMemory(config),
    () => checkDevice(config),
    () => checkDisk(config),
    () => checkStorage(config),
    async () => {
      if (problems.some((problem) => problem.startsWith('REDIS_URL'))) return [];
      return await (config.redis ? checkRedis(config) : checkRedisServer());
    },
    () => checkChats(config),
    () => checkInbox(config),
    () => checkPorts(config),
  ];
  const results: Check[] = [];
  for (const check of checks) results.push(...[await check()].flat());
  return results;
}

/** Prints the checks, and sets the exit code when one failed. */
export async function doctor(settings: Settings, json: boolean): Promise<void> {
  const checks = await examine(settings);
  if (json) {
    process.stdout.write(`${JSON.stringify({ checks }, null, 2)}\n`);
  } else {
    const marks = { ok: '✔', warn: '!', fail: '✖' } as const;
    for (const { name, state, detail, remedy } of checks) {
      process.stdout.write(`${marks[state]} ${name.padEnd(8)} ${detail}\n`);
      if (remedy) process.stdout.write(`  ${''.padEnd(8)} → ${remedy}\n`);
    }
  }
  if (checks.some((check) => check.state === 'fail')) process.exitCode = errorCatalogue.INTERNAL.exitCode;
}
