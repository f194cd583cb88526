// Builds the console into dist/, which the Rust build embeds. Editor, workers, fonts and styles are bundled, because the
// page must work without the internet and under a policy that allows no other host and no inline script.

import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, gzipSync } from 'node:zlib';

import { defineConfig } from 'vite';

const DIST = fileURLToPath(new URL('dist/', import.meta.url));
const BUILD_SCRIPT = fileURLToPath(new URL('../build.rs', import.meta.url));

/** Writes a compressed copy of each text file, and makes cargo rebuild. */
function embeddable() {
  return {
    name: 'embeddable',
    apply: 'build',
    closeBundle() {
      const files = readdirSync(DIST, { recursive: true }).map((file) => path.join(DIST, file));
      for (const file of files.filter((file) => /\.(js|css|svg|ttf)$/.test(file))) {
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: constants.Z_BEST_COMPRESSION }));
      }
      // Cargo cannot watch a folder that does not exist yet. A newer build script makes it notice the first build too.
      const now = new Date();
      utimesSync(BUILD_SCRIPT, now, now);
    },
  };
}

export default defineConfig({
  plugins: [embeddable()],
  esbuild: { jsx: 'automatic' },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // No data: URLs, because the policy does not allow them.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Monaco is one chunk of several megabytes, which browsers cache for ever.
    chunkSizeWarningLimit: 8192,
  },
  // For `npm run dev` with a running server.
  server: { proxy: { '/graphql': { target: 'http://127.0.0.1:4000', ws: true } } },
});
