/** Multipart bodies (RFC 7578), as far as the clients of chat platforms use them. Only files have a file name. */
export function* multipart(body: Buffer, boundary: string) {
  const delimiter = `\r\n--${boundary}`;
  const whole = Buffer.concat([Buffer.from('\r\n'), body]);
  let start = whole.indexOf(delimiter);
  while (start >= 0) {
    const end = whole.indexOf(delimiter, start + delimiter.length);
    if (end < 0) return;
    const part = whole.subarray(start + delimiter.length + 2, end);
    const headEnd = part.indexOf('\r\n\r\n');
    const head = part.subarray(0, headEnd).toString();
    yield {
      name: /[; ]name="([^"]*)"/.exec(head)?.[1] ?? '',
      filename: /filename="([^"]*)"/.exec(head)?.[1],
      type: /content-type: *([^\r\n]+)/i.exec(head)?.[1],
      bytes: new Uint8Array(part.subarray(headEnd + 4)),
    };
    start = end;
  }
}
