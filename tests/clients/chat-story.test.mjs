// The whole chat story by every client that is in use, against a server as it is deployed: no development mode, a
// token for everybody but the visitor who logs in.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { adapters } from './adapters/index.mjs';
import { agent as agentSends, widget as widgetSends } from './documents.mjs';
import { startServer } from './server.mjs';
import { cast, tell } from './story.mjs';
import { PATIENCE, Stream } from './stream.mjs';

const foreign = process.env.SWITCHBOARD_URL ? 'SWITCHBOARD_URL names a server whose tokens are not ours' : false;

describe('the chat story', { skip: foreign }, () => {
  let server;
  let everybody;
  before(async () => {
    server = await startServer({ SWITCHBOARD_DEV: 'false' });
    everybody = await cast(server);
  });
  after(() => server?.stop());

  for (const [name, connect] of Object.entries(adapters)) {
    test(name, () => tell(connect, everybody));
  }

  for (const name of ['Apollo Client 3', 'Apollo Client 4']) {
    test(`${name}: events of a subscription reach the queries that are watched`, async () => {
      const client = adapters[name](server, everybody.serviceToken);
      try {
        const inbox = new Stream(client, agentSends.Inbox);
        await inbox.until(({ operation }) => operation === 'READY');
        const create = { customerName: 'Eve', headline: 'cached', contractId: everybody.demo.contracts[0].id };
        const { id } = (await client.mutate(widgetSends.CreateChat, create)).createChat.chat;
        const seen = [];
        let wake;
        const stop = client.watch(widgetSends.Chat, { id }, ({ chat }) => {
          seen.push([chat.status, chat.version]);
          wake?.();
        });
        const until = (status) =>
          new Promise((resolve, reject) => {
            const late = setTimeout(() => reject(new Error(`in vain: ${status} in ${seen}`)), PATIENCE);
            wake = () => {
              if (seen.at(-1)?.[0] !== status) return;
              clearTimeout(late);
              resolve();
            };
            wake();
          });
        await until('ACTIVE');
        // Another program starts and ends it: this client hears it by its inbox only.
        const other = adapters.fetch(server, everybody.serviceToken);
        await other.mutate(agentSends.StartChat, { chatId: id });
        await until('STARTED');
        await other.mutate(widgetSends.Finish, { id });
        await until('FINISHED');
        assert.deepEqual(seen, [['ACTIVE', 1], ['STARTED', 2], ['FINISHED', 3]]);
        assert.equal(client.cached(widgetSends.Chat, { id }).chat.status, 'FINISHED');
        stop();
      } finally {
        await client.close();
      }
    });
  }

  test('clients that are gone leave no socket and no subscription', async () => {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const metrics = await (await fetch(`${server.origin}/metrics`)).text();
      const gauges = [...metrics.matchAll(/^(switchboard_(?:websocket_\w+|hub_subscriptions))(?:\{.*\})? (\S+)$/gm)]
        .filter(([, name]) => /sockets|operations|hub_subscriptions/.test(name) && !/total/.test(name));
      assert.ok(gauges.length > 0, metrics);
      const left = gauges.filter(([, , value]) => Number(value) !== 0).map(([line]) => line);
      if (left.length === 0) return;
      assert.ok(Date.now() < end, `left: ${left.join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
});
