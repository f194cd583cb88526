// GraphiQL, as a person uses it, in a browser that has no internet: the page, its editor and workers, a query and a
// subscription work with nothing but the server. The server answers where no token is needed (development), and where
// one is: then the page says where to put it.

import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { chromium } from 'playwright-core';

import { FLAGS, browserProgram } from './browser.mjs';
import { startServer } from './server.mjs';

const COMPANY = '5b000000-0000-7000-8000-000000000001';
const WEBSITE = '5b000000-0000-7000-8000-000000000002';
/** A debug server, a first load of the editor and other tests share the machine. */
const PATIENCE = 60_000;

const program = browserProgram();
const foreign = process.env.SWITCHBOARD_URL ? 'SWITCHBOARD_URL names a server whose secret is not ours' : false;
const skip = program ? false : 'no Chromium, Chrome or Edge here (`apt-get install chromium`, or set CHROME_BIN)';

function serviceToken(secret) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { sub: 'graphiql', role: 'service', company_id: COMPANY, exp: Math.floor(Date.now() / 1000) + 3600 };
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

describe('GraphiQL in a browser without the internet', { skip }, () => {
  let server;
  let context;
  let profile;
  const origins = new Set();
  /** What the page asked other hosts for, and what it complained about. */
  const strayed = [];
  const complaints = [];

  before(async () => {
    server = await startServer();
    origins.add(server.origin);
    profile = mkdtempSync(path.join(tmpdir(), 'switchboard-browser-'));
    context = await chromium.launchPersistentContext(profile, {
      executablePath: program,
      args: FLAGS,
      viewport: { width: 1400, height: 900 },
    });
    context.setDefaultTimeout(PATIENCE);
    await context.route('**', (route) => {
      const url = new URL(route.request().url());
      if (origins.has(url.origin) || ['data:', 'blob:'].includes(url.protocol)) return route.continue();
      strayed.push(url.href);
      return route.abort();
    });
  });
  after(async () => {
    await context?.close();
    await server?.stop();
    if (profile) rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });

  async function open(address = `${server.origin}/`) {
    const page = await context.newPage();
    const frames = { sent: [], received: [] };
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('websocket', (socket) => {
      if (!origins.has(new URL(socket.url().replace(/^ws/, 'http')).origin)) strayed.push(socket.url());
      socket.on('framesent', ({ payload }) => frames.sent.push(JSON.parse(payload)));
      socket.on('framereceived', ({ payload }) => frames.received.push(JSON.parse(payload)));
    });
    const response = await page.goto(address);
    return { page, response, frames };
  }

  /** Replaces what an editor holds, as a person does: select all, then paste over it. */
  async function write(page, editor, text) {
    await page.locator(`${editor} .view-lines`).click();
    await page.keyboard.press('ControlOrMeta+A');
    await page.keyboard.press('Delete');
    await page.keyboard.insertText(text);
  }

  const run = (page) => page.locator('.graphiql-execute-button').click();
  const QUERY = '.graphiql-query-editor';

  /** What the response pane holds; Monaco draws spaces that do not break. */
  const shown = (page) =>
    page.locator('.graphiql-response .view-lines').evaluate((lines) => lines.innerText.replaceAll('\u00a0', ' '));

  async function until(page, holds, what) {
    const end = Date.now() + PATIENCE;
    while (!(await holds())) {
      assert.ok(Date.now() < end, `in vain: ${what}`);
      await page.waitForTimeout(50);
    }
  }

  async function waitForResult(page, part) {
    let text = '';
    const holds = async () => (text = await shown(page).catch(() => text)).includes(part);
    await until(page, holds, part).catch((error) => assert.fail(`${error.message} in ${text}`));
  }

  async function ask(query, variables) {
    const response = await fetch(server.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await response.json();
    assert.equal(errors, undefined);
    return data;
  }

  test('browsers get the page on both paths, under a policy that allows nothing foreign; others get the API', async () => {
    for (const address of [`${server.origin}/`, server.url]) {
      const response = await fetch(address, { headers: { accept: 'text/html,*/*;q=0.8' } });
      const html = await response.text();
      assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
      assert.match(html, /<div id="console">/, 'this binary has no console: `make web`, then build it again');
      const policy = response.headers.get('content-security-policy');
      assert.match(policy, /default-src 'none'; script-src 'self';/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /:\/\/|\*/, 'a foreign host');
    }
    const api = await fetch(`${server.url}?query=%7B__typename%7D`, { headers: { accept: '*/*' } });
    assert.deepEqual(await api.json(), { data: { __typename: 'Query' } });
  });

  test('the first tab asks, a query is completed by the schema and answered', async () => {
    const { page } = await open();
    await page.locator(`${QUERY} .view-lines`).waitFor();
    // The example runs as it stands.
    await run(page);
    await waitForResult(page, '"WAITING"');

    await write(page, QUERY, '{ currentShift viewer { role } }');
    await run(page);
    await waitForResult(page, '"service"');

    // A field that does not exist is marked: the schema arrived, and the worker that checks documents runs.
    await write(page, QUERY, '{ noSuchField }');
    await page.locator(`${QUERY} .squiggly-error`).first().waitFor();
    await page.close();
  });

  test('a subscription shows an event; the Authorization header goes with connection_init, a new one by a new socket', async () => {
    const { page, frames } = await open(server.url);
    await page.locator(`${QUERY} .view-lines`).waitFor();
    await write(page, QUERY, 'subscription Watch { chatStatus { operation record { headline status } } }');
    await run(page);
    await waitForResult(page, '"READY"');
    assert.deepEqual(frames.sent[0], { type: 'connection_init', payload: {} });

    const headline = `Seen in a browser at ${Date.now()}`;
    const start = `mutation ($websiteId: UUID!, $headline: String!) {
      createChatRace(input: { websiteId: $websiteId, customerName: "Grace", headline: $headline }) {
        race { chats { id } }
      }
    }`;
    const { createChatRace } = await ask(start, { websiteId: WEBSITE, headline });
    await waitForResult(page, headline);
    await ask('mutation ($chatId: UUID!) { startChat(input: { chatId: $chatId }) { outcome } }', {
      chatId: createChatRace.race.chats[0].id,
    });
    const seen = () => {
      const events = frames.received.filter(({ type }) => type === 'next').map(({ payload }) => payload.data.chatStatus);
      return events.filter(({ record }) => record?.headline === headline).map(({ record }) => record.status);
    };
    // The winner, and the one that it beat.
    await until(page, () => seen().includes('STARTED') && seen().includes('FINISHED'), 'both outcomes');
    await waitForResult(page, `"${seen().at(-1)}"`);
    if (process.env.SCREENSHOTS) await page.screenshot({ path: path.join(process.env.SCREENSHOTS, 'subscription.png') });
    await run(page);

    await page.locator('button[data-name=headers]').click();
    await write(page, '.graphiql-editor-tool .graphiql-editor:not(.hidden)', '{"authorization":"Bearer forged"}');
    await run(page);
    await waitForResult(page, '4403');
    assert.deepEqual(frames.sent.filter(({ type }) => type === 'connection_init').at(-1), {
      type: 'connection_init',
      payload: { authToken: 'Bearer forged' },
    });
    await page.close();
  });

  test('where a token is needed the page says so, takes one, and shows the schema', { skip: foreign }, async () => {
    const secret = randomBytes(32).toString('hex');
    const guarded = await startServer({ SWITCHBOARD_DEV: 'false', SWITCHBOARD_JWT_SECRET: secret });
    try {
      origins.add(guarded.origin);
      const { page } = await open(`${guarded.origin}/`);
      const note = page.getByRole('status');
      await note.getByText('Authorization').waitFor();
      if (process.env.SCREENSHOTS) await page.screenshot({ path: path.join(process.env.SCREENSHOTS, 'token.png') });
      await note.getByLabel('Token or API key').fill(serviceToken(secret));
      await note.getByRole('button').click();
      await note.waitFor({ state: 'detached' });
      await write(page, QUERY, '{ viewer { role companyId } }');
      await run(page);
      await waitForResult(page, COMPANY);
      await page.close();
      // Being refused at first is what this is about.
      const refusals = complaints.filter((text) => text.includes('status of 401'));
      assert.ok(refusals.length > 0);
      complaints.splice(0, complaints.length, ...complaints.filter((text) => !refusals.includes(text)));
    } finally {
      await guarded.stop();
    }
  });

  test('nothing was asked of any other host, and no policy was offended', () => {
    assert.deepEqual(strayed, []);
    assert.deepEqual(complaints, []);
  });
});
