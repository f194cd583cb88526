// Every client of the tests by its name.

import { connect as apollo3 } from './apollo-3.mjs';
import { connect as apollo4 } from './apollo-4.mjs';
import { connect as plainFetch } from './fetch.mjs';
import { connect as graphqlWs } from './graphql-ws.mjs';
import { connect as legacy } from './subscriptions-transport-ws.mjs';
import { connect as urql } from './urql.mjs';

export const adapters = {
  'Apollo Client 3': apollo3,
  'Apollo Client 4': apollo4,
  urql,
  'graphql-ws': graphqlWs,
  'subscriptions-transport-ws': legacy,
  fetch: plainFetch,
};
