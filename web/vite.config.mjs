// Builds the console into dist/, which the Rust build embeds. Everything is bundled: editor, workers, fonts, styles.
// The page must work without the internet and under a policy that allows no other host and no inline script.

import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, gzipSync } from 'node:zlib';

import { defineConfig } from 'vite';

const DIST = fileURLToPath(new URL('dist/', import.meta.url));
const BUILD_SCRIPT = fileURLToPath(new URL('../build.rs', import.meta.url));

/** Puts a compressed copy beside each text file, and tells cargo. */
function embeddable() {
  return {
    name: 'embeddable',
    apply: 'build',
    closeBundle() {
      const files = readdirSync(DIST, { recursive: true }).map((file) => path.join(DIST, file));
      for (const file of files.filter((file) => /\.(js|css|svg|ttf)$/.test(file))) {
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: constants.Z_BEST_COMPRESSION }));
      }
      // Cargo cannot watch a folder that is not there, so the first build of it shows only by a newer build script.
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
    // Not as data: URLs, which the policy would have to allow.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Monaco is one chunk of some megabytes, read from a local binary and cached for good.
    chunkSizeWarningLimit: 8192,
  },
  // `npm run dev` beside a running server.
  server: { proxy: { '/graphql': { target: 'http://127.0.0.1:4000', ws: true } } },
});
