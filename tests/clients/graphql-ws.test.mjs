// The client that docs/api.md recommends, the package graphql-ws, against the running server.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

import { startServer } from './server.mjs';

const WEBSITE = '5b000000-0000-7000-8000-000000000002';
const CREATE = `mutation ($website: UUID!, $headline: String!) {
  createChatRace(input: {websiteId: $website, customerName: "Eve", headline: $headline}) { race { key chats { id } } }
}`;
const STATUS = `subscription ($after: Cursor) {
  chatStatus(after: $after) { operation record { id status headline version } cursor resync }
}`;

/** A mutation by plain HTTP, as another program would make it. */
async function post(server, query, variables) {
  const response = await fetch(server.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

const ask = async (server, headline) =>
  (await post(server, CREATE, { website: WEBSITE, headline })).createChatRace.race.chats.map((chat) => chat.id).sort();

describe('the package graphql-ws', () => {
  let server;
  const clients = [];
  before(async () => {
    server = await startServer();
  });
  after(async () => {
    await Promise.all(clients.map((client) => client.dispose()));
    await server?.stop();
  });

  function connect(options = {}) {
    const client = createClient({ url: server.socketUrl, webSocketImpl: WebSocket, ...options });
    clients.push(client);
    return client;
  }

  test('queries and mutations are answered once and complete', async () => {
    const client = connect();
    const all = async (payload) => {
      const results = [];
      for await (const result of client.iterate(payload)) results.push(result);
      return results;
    };
    assert.deepEqual(await all({ query: '{ viewer { role } }' }), [{ data: { viewer: { role: 'service' } } }]);
    const [{ data }] = await all({ query: CREATE, variables: { website: WEBSITE, headline: 'by socket' } });
    assert.equal(data.createChatRace.race.chats.length, 2);
    await assert.rejects(all({ query: '{ password }' }), (errors) => {
      assert.equal(errors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
      return true;
    });
    const [refused] = await all({ query: '{ chatRace(key: "nonsense") { state } }' }).catch((errors) => [{ errors }]);
    assert.ok(refused.errors);
  });

  test('a subscription outlives a restart of the server and misses nothing', async (context) => {
    if (!server.restart) return context.skip('not a server of this test');
    const closes = [];
    const client = connect({
      retryAttempts: 100,
      shouldRetry: () => true, // also while nobody listens
      retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
      on: { closed: (event) => closes.push(event.code) },
    });
    let cursor;
    const heard = new Map(); // chat -> versions
    const stream = client.iterate({
      query: STATUS,
      variables: {
        // Read again whenever the client subscribes again.
        get after() {
          return cursor;
        },
      },
    });
    const until = async (wanted) => {
      for (;;) {
        const { value, done } = await stream.next();
        assert.ok(!done && !value.errors, JSON.stringify(value));
        const { operation, record, cursor: place, resync } = value.data.chatStatus;
        cursor = place;
        assert.equal(resync, false, 'no gap');
        if (record && operation !== 'SNAPSHOT') heard.set(record.id, [...(heard.get(record.id) ?? []), record.version]);
        if (wanted(operation, record)) return;
      }
    };
    await until((operation) => operation === 'READY');
    const [first, second] = await ask(server, 'before');
    await until(() => heard.has(first) && heard.has(second));

    assert.equal(await server.restart(), 0);
    // It happens before the client is back, or after: the client cannot tell.
    const later = await ask(server, 'after');
    const start = 'mutation ($chat: UUID!) { startChat(input: {chatId: $chat}) { outcome } }';
    assert.equal((await post(server, start, { chat: first })).startChat.outcome, 'STARTED');
    await until(() => later.every((id) => heard.has(id)) && [first, second].every((id) => heard.get(id).length === 2));
    assert.deepEqual([first, second, ...later].map((id) => heard.get(id)), [[1, 2], [1, 2], [1], [1]]);
    assert.equal(closes[0], 1001);
    await stream.return();
  });

  test('a refused token is told by close code 4403', async () => {
    const client = connect({ connectionParams: { authToken: 'not.a.token' }, retryAttempts: 0 });
    const refused = (async () => {
      for await (const result of client.iterate({ query: '{ viewer { id } }' })) assert.fail(JSON.stringify(result));
    })();
    await assert.rejects(refused, (event) => event.code === 4403);
  });
});
