// Apollo Client 3. Its folders are no ES modules to Node: taken as CommonJS.

import { createRequire } from 'node:module';

import { adapter } from './apollo.mjs';

const require = createRequire(import.meta.url);

export const connect = adapter({
  ...require('apollo-client-3/core'),
  GraphQLWsLink: require('apollo-client-3/link/subscriptions').GraphQLWsLink,
});
