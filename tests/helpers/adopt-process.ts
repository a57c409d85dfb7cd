/**
 * Claims the data of a Redis in a process of its own, and kills itself in the middle of taking over those of an earlier
 * version. Arguments: socket path, and how many steps it makes first.
 */

import { Redis } from 'ioredis';
import { createLogger } from '../../src/log.ts';
import { Keys } from '../../src/queue/keys.ts';
import { claimSchema } from '../../src/queue/schema.ts';

const [socketPath = '', steps = '0'] = process.argv.slice(2);
const redis = new Redis({ path: socketPath });
const send = redis.sendCommand.bind(redis);
let left = Number(steps);
redis.sendCommand = (command, ...rest) => {
  if (/^eval/.test(command.name) && left-- === 0) process.kill(process.pid, 'SIGKILL');
  return send(command, ...rest);
};
await claimSchema(redis, new Keys('t'), createLogger('test', 'silent'), 300);
