/** How the studio page is built, and served while one works on it. */
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/** A Kinora that runs already, and a key of it: `npm run dev:page` passes the calls of the page on. */
const { KINORA_ADDRESS = 'http://127.0.0.1:7080', KINORA_KEY } = process.env;

/** Tells how much script a browser fetches before it shows the first screen. */
const printFirstLoad: Plugin = {
  name: 'print-first-load',
  generateBundle(_, bundle) {
    const chunks = Object.values(bundle).filter((file) => file.type === 'chunk');
    const first = new Set(chunks.filter(({ isEntry }) => isEntry).map(({ fileName }) => fileName));
    for (const name of first) {
      const chunk = bundle[name];
      if (chunk?.type === 'chunk') for (const imported of chunk.imports) first.add(imported);
    }
    const sizes = chunks
      .filter(({ fileName }) => first.has(fileName))
      .map(({ code }) => gzipSync(code).length);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    this.info(`first load: ${(bytes / 1000).toFixed(1)} kB of script, gzipped`);
  },
};

export default defineConfig({
  root: import.meta.dirname,
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [printFirstLoad],
  build: {
    outDir: '../page-built',
    emptyOutDir: true,
    target: 'es2023',
    // The page's policy allows no data: addresses and no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    host: '127.0.0.1',
    proxy: {
      '/v1': { target: KINORA_ADDRESS, headers: KINORA_KEY ? { 'x-api-key': KINORA_KEY } : {} },
    },
  },
});
