/** The CDN: gives out files under signed links until these expire. */
import type { Reply, Request, Route } from './http.ts';
import type { World } from './world.ts';

export function cdnRoutes(world: World): Route[] {
  const handle = (request: Request): Reply => {
    const file = world.files.open(request.param('file'), request.query.get('hm'));
    const text = { 'content-type': 'text/plain' };
    if (!file || file.name !== request.param('name') || file.channelId !== request.param('channel'))
      return { status: 404, bytes: Buffer.from('This content is no longer available.'), headers: text };
    return { status: 200, bytes: file.bytes, headers: { 'content-type': file.contentType } };
  };
  return ['/attachments/:channel/:file/:name', '/ephemeral-attachments/:channel/:file/:name'].map(
    (template) => ({
      method: 'GET',
      template,
      auth: 'none',
      handle,
    }),
  );
}
