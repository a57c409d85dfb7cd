/** A process that owns a private redis-server, for a test that kills it. Prints the server's pid. */
import { createLogger } from '../../src/log.ts';
import { connectRedis } from '../../src/queue/redis.ts';
import { startPrivateRedis } from '../../src/supervisor/private-redis.ts';

const server = await startPrivateRedis(process.argv[2] ?? '', createLogger('owner', 'silent'));
await connectRedis({ socketPath: server.socketPath }, 'fail-fast', () => {}).set('kept', 'yes');
process.stdout.write(String(server.pid));
setInterval(() => {}, 1_000);
