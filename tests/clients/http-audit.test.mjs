// The GraphQL over HTTP specification, by the audits of the package graphql-http: every one must pass, the
// MUSTs, the SHOULDs and the MAYs.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { serverAudits } from 'graphql-http';

import { startServer } from './server.mjs';

describe('GraphQL over HTTP', () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  for (const audit of serverAudits({ url: () => server.url })) {
    test(`${audit.id} ${audit.name}`, async () => {
      const result = await audit.fn();
      assert.equal(result.status, 'ok', result.reason);
    });
  }
});
