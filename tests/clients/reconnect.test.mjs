// Every client with a socket, while the server is deployed anew under it: it comes back by itself, and its stream of
// everything that the company's chats go through has no hole and no repeat, since it resumes `after` what it heard.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { adapters } from './adapters/index.mjs';
import { agent as agentSends, widget as widgetSends } from './documents.mjs';
import { startServer } from './server.mjs';
import { cast } from './story.mjs';
import { Stream } from './stream.mjs';

const foreign = process.env.SWITCHBOARD_URL ? 'SWITCHBOARD_URL names a server that is not ours to restart' : false;

describe('a restart of the server', { skip: foreign }, () => {
  let server;
  let everybody;
  let other;
  before(async () => {
    server = await startServer({ SWITCHBOARD_DEV: 'false' });
    everybody = await cast(server);
    other = adapters.fetch(server, everybody.serviceToken);
  });
  after(() => server?.stop());

  /** Another program, whose calls do not depend on the client under test. */
  const ask = async (headline) => {
    const variables = { customerName: 'Eve', headline, contractId: everybody.demo.contracts[0].id };
    return (await other.mutate(widgetSends.CreateChat, variables)).createChat.chat.id;
  };
  const start = (chatId) => other.mutate(agentSends.StartChat, { chatId });
  const finish = (id) => other.mutate(widgetSends.Finish, { id });

  for (const [name, connect] of Object.entries(adapters).filter(([name]) => name !== 'fetch')) {
    test(`${name} misses nothing`, async () => {
      const client = connect(server, everybody.serviceToken);
      try {
        const reads = [];
        const variables = {
          get after() {
            const cursor = stream?.heard.at(-1)?.cursor;
            reads.push(cursor);
            return cursor;
          },
        };
        let stream;
        stream = new Stream(client, agentSends.Inbox, variables);
        await stream.until(({ operation }) => operation === 'READY');
        const [first, second] = [await ask('before'), await ask('before')];
        await start(first);
        const hears = (id, wanted) => stream.until(({ record }) => record?.id === id && record.version === wanted);
        await Promise.all([hears(first, 2), hears(second, 1)]);

        assert.equal(await server.restart(), 0);
        // While the client is away, or back already: it cannot tell.
        await finish(first);
        await start(second);
        const third = await ask('after');
        await Promise.all([hears(first, 3), hears(second, 2), hears(third, 1)]);
        await start(third);
        await hears(third, 2);

        assert.ok(reads.at(-1), 'the cursor was read again');
        assert.ok(stream.heard.every(({ resync }) => resync === false), 'no gap');
        const told = [first, second, third].map((id) =>
          stream.heard
            .filter(({ operation, record }) => operation !== 'SNAPSHOT' && record?.id === id)
            .map(({ record }) => record.version),
        );
        assert.deepEqual(told, [[1, 2, 3], [1, 2], [1, 2]]);
        assert.equal(stream.heard.filter(({ operation }) => operation === 'READY').length, 2);
        stream.stop();
      } finally {
        await client.close();
      }
    });
  }
});
