// The browser on this machine, and how it is started: without the internet.

import { existsSync } from 'node:fs';
import path from 'node:path';

export function browserProgram() {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge'];
  const mac = ['Google Chrome', 'Chromium'].map((name) => `/Applications/${name}.app/Contents/MacOS/${name}`);
  const all = [process.env.CHROME_BIN, ...names.flatMap((name) => folders.map((at) => path.join(at, name))), ...mac];
  return all.find((program) => program && existsSync(program));
}

/** Resolves to no name but the machine's own, so that nothing outside can answer even if it were asked. */
export const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost',
];
