// Deployed widgets in a browser, unchanged. Tabs that cannot read each other's storage are pages of two origins of one
// website.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import { chromium } from 'playwright-core';

import { FLAGS, browserProgram } from './browser.mjs';
import { BINARY, commandOf } from './server.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const program = browserProgram();
const skip = process.env.SWITCHBOARD_URL
  ? 'SWITCHBOARD_URL names a server whose secret is not ours'
  : program
    ? false
    : 'no Chromium, Chrome or Edge here';
const PATIENCE = 60_000;

/** A server on a socket that outlives it. */
async function startActivated(settings) {
  const supervisor = spawn('python3', [path.join(HERE, 'activate.py'), BINARY], {
    env: { ...process.env, ...settings },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const lines = createInterface({ input: supervisor.stderr });
  const said = [];
  let ready = () => {};
  lines.on('line', (line) => {
    if (/listening on http/.test(line)) ready();
    else if (said.length < 200) said.push(line);
  });
  const listening = () => {
    const late = new Promise((_, reject) => {
      setTimeout(() => reject(new Error(`not listening; it said:\n${said.join('\n')}`)), PATIENCE).unref();
    });
    return Promise.race([new Promise((resolve) => (ready = resolve)), late]);
  };
  const begun = listening();
  const port = await new Promise((resolve) => createInterface({ input: supervisor.stdout }).once('line', resolve));
  await begun;
  return {
    url: `http://127.0.0.1:${port}/graphql`,
    /** Replaces the server, which gets this signal. */
    async replace(signal) {
      const again = listening();
      supervisor.stdin.write(`${signal}\n`);
      await again;
    },
    async stop() {
      const gone = new Promise((resolve) => supervisor.once('exit', resolve));
      supervisor.stdin.end();
      await gone;
    },
  };
}

describe('deployed widgets in a browser', { skip }, () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'switchboard-widgets-'));
  chmodSync(directory, 0o755); // Postgres may run as another user
  let browser, server, pages, site, agentToken, settings;

  const post = async (token, query, variables) => {
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
    const response = await fetch(server.url, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
    const { data, errors } = await response.json();
    assert.equal(errors, undefined, JSON.stringify(errors));
    return data;
  };
  const start = (id) => post(agentToken, 'mutation ($id: UUID!) { startChat(input: { chatId: $id }) { outcome } }', { id });
  const end = (id) => post(agentToken, 'mutation ($id: UUID!) { endChat(input: { chatId: $id }) { chat { id } } }', { id });
  const say = (chatId, text) =>
    post(
      agentToken,
      `mutation ($chatId: UUID!, $text: String!) { createMessage(input: { message: {
         chatId: $chatId, text: $text, author: "Ada" } }) { message { id } } }`,
      { chatId, text },
    );

  before(async () => {
    const { outputFiles } = await build({
      entryPoints: [path.join(HERE, 'widget-page.mjs')],
      bundle: true,
      write: false,
      format: 'iife',
      define: { 'process.env.NODE_ENV': '"production"', 'globalThis.__DEV__': 'false' },
      logLevel: 'error',
    });
    const script = outputFiles[0].text;
    pages = createServer((request, response) => {
      const { pathname } = new URL(request.url, 'http://page');
      if (pathname === '/widget.js') return response.setHeader('content-type', 'text/javascript').end(script);
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><title>Shop</title><script src="/widget.js"></script>');
    });
    await new Promise((resolve) => pages.listen(0, resolve));
    settings = {
      SWITCHBOARD_DATA_DIR: path.join(directory, 'data'),
      SWITCHBOARD_JWT_SECRET: randomBytes(32).toString('hex'),
      SWITCHBOARD_ANONYMOUS_WIDGETS: 'true',
    };
    server = await startActivated(settings);
    const command = commandOf(settings);
    const { id: company } = JSON.parse(await command('company', 'create', '--name', 'Acme'));
    const service = await command('token', '--role', 'service', '--company', company);
    const { createWebsite } = await post(
      service,
      'mutation ($website: WebsiteInput!) { createWebsite(input: { website: $website }) { publicKey website { id } } }',
      { website: { allowedOrigins: ['localhost', 'shop.localhost'].map((host) => `http://${host}:${pages.address().port}`) } },
    );
    const agentId = crypto.randomUUID();
    const { createContract } = await post(
      service,
      'mutation ($contract: ContractInput!) { createContract(input: { contract: $contract }) { contract { id } } }',
      { contract: { websiteId: createWebsite.website.id, session: 1, agentId, agentName: 'Ada' } },
    );
    browser = await chromium.launch({ executablePath: program, args: FLAGS });
    agentToken = await command('token', '--role', 'agent', '--company', company, '--agent', agentId);
    site = {
      url: server.url,
      publicKey: createWebsite.publicKey,
      websiteId: createWebsite.website.id,
      contractId: createContract.contract.id,
    };
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    pages?.close();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });

  /** Opens the shop's page; what runs in it, and how to wait for what it shows. */
  async function open(context, { host = 'localhost', ...more } = {}) {
    const page = await context.newPage();
    await page.goto(`http://${host}:${pages.address().port}/?${new URLSearchParams({ ...site, ...more })}`);
    await page.waitForFunction(() => window.widget);
    const run = (expression, argument) => page.evaluate(expression, argument);
    const until = (expression, argument, timeout = PATIENCE) => page.waitForFunction(expression, argument, { timeout });
    return { page, run, until };
  }

  /** A customer who has asked; `chat` is what the server made of it. */
  async function customer(headline, more) {
    const tab = await open(await browser.newContext(), more);
    if (!more?.visitor) await tab.run(() => widget.login());
    const chat = await tab.run((text) => widget.ask(text), headline);
    // The stream is on its way to the server when createChat is answered.
    await tab.page.waitForTimeout(500);
    return { ...tab, chat };
  }

  /** How many milliseconds until the widget shows the chat that is started now. */
  async function answered({ chat, until, run }) {
    const asked = Date.now();
    await start(chat.id);
    await until((id) => widget.chat?.id === id, chat.id);
    return (await run(() => widget.startedAt)) - asked;
  }

  test('one customer alone: found, answered, told of what is said and of the end', async (t) => {
    const eve = await customer('My order is late');
    t.diagnostic(`startChat to the widget's screen: ${await answered(eve)} ms`);
    await eve.page.waitForTimeout(300);
    await say(eve.chat.id, 'Hello');
    await eve.until(() => widget.shown.includes('Hello'));
    await eve.run(() => widget.write('Hi'));
    await eve.until(() => widget.shown.includes('Hi'));
    await end(eve.chat.id);
    await eve.until(() => widget.ended, undefined, 1_000);
    assert.deepEqual(await eve.run(() => widget.read()), ['My order is late', 'Hello', 'Hi']);
    assert.deepEqual(await eve.run(() => widget.failures), []);
  });

  test('two behind one address: no word of the one reaches the other', async () => {
    const [eve, ben] = [await customer("Eve's question"), await customer("Ben's question")];
    await answered(ben);
    await ben.page.waitForTimeout(300);
    await say(ben.chat.id, 'For Ben');
    await ben.until(() => widget.shown.includes('For Ben'));
    assert.deepEqual(await eve.run(() => [widget.told, widget.shown, widget.chat]), [[], [], null]);
    await answered(eve);
    await eve.page.waitForTimeout(300);
    await say(eve.chat.id, 'For Eve');
    await eve.until(() => widget.shown.includes('For Eve'));
    await end(ben.chat.id);
    await ben.until(() => widget.ended, undefined, 1_000);
    assert.equal(await eve.run(() => widget.ended), false);
    await end(eve.chat.id);
    await eve.until(() => widget.ended, undefined, 1_000);
    for (const [own, other] of [[eve, ben], [ben, eve]]) {
      const [told, shown] = await own.run(() => [widget.told.map(({ id }) => id), widget.shown.join()]);
      assert.ok(!told.includes(other.chat.id) && told.every((id) => id === own.chat.id), told.join());
      assert.ok(!shown.includes(other === ben ? 'Ben' : 'Eve'), shown);
    }
  });

  test('a new tab cannot read the token: the site and the chat work', async () => {
    const eve = await customer('My order is late');
    await answered(eve);
    // Under another origin of the website, whose storage is another one.
    const chat = JSON.stringify(await eve.run(() => widget.chat));
    const tab = await open(eve.page.context(), { host: 'shop.localhost', chat });
    assert.equal(await tab.run(() => widget.hasToken()), false);
    const { website } = await tab.run(() => widget.site());
    assert.deepEqual(website.contracts.map(({ id }) => id), [site.contractId]);
    await tab.run(() => widget.enter());
    await tab.page.waitForTimeout(500);
    await tab.run(() => widget.write('From the new tab'));
    await tab.until(() => widget.shown.includes('From the new tab'));
    await eve.until(() => widget.shown.includes('From the new tab'));
    assert.deepEqual(await tab.run(() => widget.read()), ['My order is late', 'From the new tab']);
    await tab.run(() => widget.end());
    for (const each of [tab, eve]) await each.until(() => widget.ended, undefined, 1_000);
    await tab.run(() => widget.rate(5));
    assert.deepEqual(await tab.run(() => widget.failures), []);
  });

  for (const signal of ['SIGTERM', 'SIGKILL']) {
    test(`what was written while the socket was away is shown, once: ${signal}`, async () => {
      const [eve, ben] = [await customer("Eve's question"), await customer("Ben's question")];
      await answered(eve);
      await eve.page.waitForTimeout(500);
      await say(eve.chat.id, 'before');
      await eve.until(() => widget.shown.includes('before'));
      // What was sent in the last quarter of a second may come again.
      await eve.page.waitForTimeout(400);
      const replaced = server.replace(signal);
      await replaced;
      for (const text of ['one', 'two', 'three']) await say(eve.chat.id, text);
      await eve.until(() => widget.shown.includes('three'));
      assert.deepEqual(await eve.run(() => widget.shown), ['before', 'one', 'two', 'three']);
      assert.equal(await ben.run(() => widget.chat), null);
      await answered(ben);
      await end(eve.chat.id);
      await eve.until(() => widget.ended, undefined, 1_000);
      assert.equal(await ben.run(() => widget.ended), false);
      assert.deepEqual(await eve.run(() => widget.failures), []);
    });
  }

  test('a browser with a key is one visitor without a token', async () => {
    const keyed = (key) => ({ url: `${server.url}?visitor=${key}`, visitor: key });
    const [one, two] = [crypto.randomUUID(), crypto.randomUUID()].map(keyed);
    const [eve, ben] = [await customer("Eve's question", one), await customer("Ben's question", two)];
    assert.equal(await eve.run(() => widget.hasToken()), false);
    await answered(ben);
    assert.equal(await eve.run(() => widget.chat), null);
    await answered(eve);
    await eve.page.waitForTimeout(300);
    for (const { chat } of [eve, ben]) await end(chat.id);
    for (const each of [eve, ben]) await each.until(() => widget.ended, undefined, 1_000);
  });
});
