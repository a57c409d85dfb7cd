/** Messages on a stream of bytes: the length of each, as 32 bits, and its bytes. */

const headLength = 4;

export function frame(body: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const head = Buffer.alloc(headLength);
  head.writeUInt32BE(body.length);
  return [head, body];
}

/**
 * The bodies, until the stream ends. What follows the last whole one is dropped.
 * @throws Error when a body is announced that is longer than `maxBytes`
 */
export async function* readFrames(
  stream: AsyncIterable<Buffer>,
  maxBytes: number,
): AsyncGenerator<Buffer, void> {
  const head = Buffer.alloc(headLength);
  let part = head;
  let filled = 0;
  for await (const chunk of stream) {
    for (let at = 0; at < chunk.length; ) {
      const length = chunk.copy(part, filled, at);
      at += length;
      filled += length;
      if (filled < part.length) continue;
      filled = 0;
      if (part !== head) {
        yield part;
        part = head;
        continue;
      }
      const bodyLength = head.readUInt32BE();
      if (bodyLength > maxBytes) throw new Error(`a message of ${bodyLength} bytes`);
      if (bodyLength === 0) yield Buffer.alloc(0);
      else part = Buffer.allocUnsafe(bodyLength);
    }
  }
}
