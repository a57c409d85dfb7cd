import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { forwardLines } from '../../src/engine/process.ts';

it('what the child prints arrives line by line, without secrets, cut where it is too long', async () => {
  const stream = new PassThrough();
  const lines: string[] = [];
  forwardLines(stream, (text) => lines.push(text));
  const token = `123456789:${'A'.repeat(35)}`;
  stream.write('[W:onnxruntime] first half');
  stream.write(`, second half\r\n\n   \nhttps://api.example/bot${token}/x\n${'y'.repeat(1990)} ${token}\n`);
  stream.end('no line end');
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  expect(lines).toEqual([
    '[W:onnxruntime] first half, second half',
    'https://api.example/[secret]/x',
    `${'y'.repeat(1990)} [secret]`,
    'no line end',
  ]);
});
