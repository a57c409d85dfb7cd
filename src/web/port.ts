/** Ports that a process which was just killed may still hold. */
import { retry } from '../retry.ts';

const lookEveryMs = 200;
const looks = 10;

/** Calls `listen` until the port is free, for two seconds. */
export async function whenPortIsFree<T>(listen: () => Promise<T>): Promise<T> {
  return await retry(listen, (error, attempt) => {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
    return isTaken && attempt < looks ? lookEveryMs : undefined;
  });
}
