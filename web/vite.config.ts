// Builds the GraphiQL page into dist/, from where the stoa binary embeds it (src/server/explorer.rs).
// Invariant: the page needs nothing that dist/ does not hold.

import react from '@vitejs/plugin-react';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

// Assets are kept compressed only: a third of the size in the binary, and no work per request. gzip and not
// brotli, because browsers take brotli only over TLS and every browser takes gzip.
const gzipAssets: Plugin = {
  name: 'gzip-assets',
  writeBundle({ dir }, bundle) {
    for (const name of Object.keys(bundle).filter((name) => name.startsWith('assets/'))) {
      const file = join(dir!, name);
      writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
      rmSync(file);
    }
  },
};

export default defineConfig({
  base: '/graphql/',
  plugins: [react(), gzipAssets],
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // A font or an image as its own file, so that the page's policy needs no `data:` for fonts.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      onwarn: (warning, warn) => warning.code !== 'MODULE_LEVEL_DIRECTIVE' && warn(warning),
    },
  },
});
