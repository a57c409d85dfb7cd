// The image's HEALTHCHECK: whether requests are taken and made. A container without a page, such as one with a worker
// alone, has nothing to ask and counts as healthy.
const port = process.env['KINORA_WEB_PORT'] || '7080';
if (port !== '0') {
  const { ok } = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => ({ ok: false }));
  process.exitCode = ok ? 0 : 1;
}
