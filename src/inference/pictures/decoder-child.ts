/**
 * Entry of the process that decodes pictures: one after another, each within limits that it watches itself, since the
 * decoders work in threads beside this one. Ends when its parent does.
 */
import { Socket } from 'node:net';
import { KinoraError, serializeError } from '../../errors.ts';
import { decodeImage } from './decode.ts';
import { frame, readFrames } from './frames.ts';
import { defaultImageLimits } from './header.ts';

/** Of one picture over all threads, and of the whole process: decoder-process.ts says how much. */
const [maxCpuMs = 0, maxBytes = 0] = process.argv.slice(2).map(Number);
/** Memory that is kept after a large picture is given back by leaving. */
const keptBytes = 512 * 2 ** 20;
const lookEveryMs = 50;

const channel = new Socket({ fd: 3 });

let leaves = false;

async function reply(answer: object, data?: Uint8Array): Promise<void> {
  leaves ||= process.memoryUsage.rss() > keptBytes;
  const text = JSON.stringify({ ...answer, isLast: leaves });
  const parts = [...frame(Buffer.from(text)), ...(data ? frame(data) : [])];
  for (const part of parts) {
    await new Promise<void>((resolve) => channel.write(part, () => resolve()));
  }
}

const refuse = (error: unknown): Promise<void> => reply({ kind: 'refused', ...serializeError(error) });

/** A decoder cannot be interrupted, so the whole process ends. */
async function giveUp(error: KinoraError): Promise<void> {
  leaves = true;
  await refuse(error);
  process.kill(process.pid, 'SIGKILL');
}

async function serve(bytes: Uint8Array): Promise<void> {
  const began = process.cpuUsage();
  let isOver = false;
  const watch = setInterval(() => {
    if (isOver) return;
    const { user, system } = process.cpuUsage(began);
    const isSlow = (user + system) / 1000 > maxCpuMs;
    if (!isSlow && process.memoryUsage.rss() < maxBytes) return;
    isOver = true;
    const error = isSlow
      ? new KinoraError('IMAGE_UNREADABLE', 'The picture takes too long to decode.')
      : new KinoraError('IMAGE_TOO_LARGE', 'The picture takes too much memory to decode.');
    void giveUp(error);
  }, lookEveryMs);
  try {
    const { data, ...header } = await decodeImage(bytes);
    if (!isOver) await reply({ kind: 'image', ...header }, data);
  } catch (error) {
    if (!isOver) await refuse(error);
  } finally {
    clearInterval(watch);
  }
}

await reply({ kind: 'ready' });
for await (const bytes of readFrames(channel, defaultImageLimits.maxBytes)) {
  await serve(bytes);
  if (leaves) break;
}
process.exit();
