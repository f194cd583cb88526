// A Switchboard to test against: the one at SWITCHBOARD_URL (its /graphql address), or target/debug/switchboard
// started on a free port, in development mode, with an embedded Postgres in a directory that goes away afterwards.
//
//   const server = await startServer();
//   after(() => server.stop());
//   fetch(server.url, …)         // http://127.0.0.1:PORT/graphql
//   new WebSocket(server.socketUrl, 'graphql-transport-ws')
//   await server.restart();      // a deployment: SIGTERM, then another process at the same address, on the same data
//   await server.command('token', '--role', 'agent'); // what a command of the binary prints, with the server's settings

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const BINARY = path.join(process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target'), 'debug', 'switchboard');
/** A first start creates a database cluster. */
const START_TIME = 60_000;
const STOP_TIME = 15_000;

function at(url) {
  return { url, origin: new URL(url).origin, socketUrl: url.replace(/^http/, 'ws') };
}

const environment = (settings) => ({ ...process.env, SWITCHBOARD_DEV: 'true', ...settings });

/** Starts the binary; `address` is where it listens, `stop` ends it as a deployment would and answers its exit code. */
async function run(settings) {
  const server = spawn(BINARY, ['serve'], {
    env: environment(settings),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const stop = async () => {
    if (server.exitCode === null && server.signalCode === null) {
      const gone = once(server, 'exit');
      server.kill('SIGTERM');
      const hurry = setTimeout(() => server.kill('SIGKILL'), STOP_TIME);
      await gone;
      clearTimeout(hurry);
    }
    return server.exitCode;
  };
  const said = [];
  const listening = new Promise((resolve, reject) => {
    const give = (why) => reject(new Error(`${why}; it said:\n${said.join('\n')}`));
    const late = setTimeout(() => give(`not listening after ${START_TIME / 1000} s`), START_TIME);
    server.once('error', (error) => give(`cannot start ${BINARY}: ${error.message}`));
    server.once('exit', (code) => {
      clearTimeout(late);
      give(`the server ended with ${code}`);
    });
    // Read on after the line: a full pipe would stop the server.
    createInterface({ input: server.stderr }).on('line', (line) => {
      const address = /listening on http:\/\/(\S+)/.exec(line)?.[1];
      if (address) {
        clearTimeout(late);
        resolve(address);
      } else if (said.length < 200) {
        said.push(line);
      }
    });
  });
  try {
    return { address: await listening, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Runs commands of the binary with these settings; each answers what it prints. */
export const commandOf =
  (settings) =>
  async (...words) =>
    (await promisify(execFile)(BINARY, words, { env: { ...process.env, ...settings } })).stdout.trim();

/**
 * @param {Record<string, string>} settings environment variables besides the defaults
 * @returns {Promise<{url: string, origin: string, socketUrl: string, stop: () => Promise<void>,
 *   restart: () => Promise<number>, command: (...words: string[]) => Promise<string>}>}
 *   `restart` answers the exit code of the process that was stopped; it and `command` are absent for a server that was
 *   not started here.
 */
export async function startServer(settings = {}) {
  if (process.env.SWITCHBOARD_URL) {
    return { ...at(process.env.SWITCHBOARD_URL), stop: async () => {} };
  }
  if (!existsSync(BINARY)) {
    throw new Error(`${BINARY} is missing: run \`cargo build\` first, or set SWITCHBOARD_URL`);
  }
  const directory = mkdtempSync(path.join(tmpdir(), 'switchboard-client-'));
  chmodSync(directory, 0o755); // Postgres may run as another user
  const remove = () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  const place = { SWITCHBOARD_LISTEN: '127.0.0.1:0', SWITCHBOARD_DATA_DIR: path.join(directory, 'data'), ...settings };
  try {
    let running = await run(place);
    const { address } = running;
    return {
      ...at(`http://${address}/graphql`),
      stop: async () => {
        await running.stop();
        remove();
      },
      restart: async () => {
        const code = await running.stop();
        running = await run({ ...place, SWITCHBOARD_LISTEN: address });
        return code;
      },
      command: async (...words) => (await promisify(execFile)(BINARY, words, { env: environment(place) })).stdout.trim(),
    };
  } catch (error) {
    remove();
    throw error;
  }
}
