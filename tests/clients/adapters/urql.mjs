// urql: HTTP for queries and mutations, its document cache, and graphql-ws for subscriptions.

import { cacheExchange, Client, fetchExchange, subscriptionExchange } from '@urql/core';

import { Refused } from './answer.mjs';
import { socketClient } from './graphql-ws.mjs';

/** urql wraps what the server said. */
const asRefusal = (error) => (error.graphQLErrors.length > 0 ? new Refused(error.graphQLErrors) : error);

export function connect(server, token) {
  const authorization = token && `Bearer ${token}`;
  const socket = socketClient(server, authorization && { headers: { authorization } });
  const client = new Client({
    url: server.url,
    fetchOptions: { headers: authorization ? { authorization } : {} },
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: (request, operation) => ({
          subscribe: (sink) => ({
            unsubscribe: socket.subscribe({ query: request.query, variables: operation.variables }, sink),
          }),
        }),
      }),
    ],
  });
  const once = async (source) => {
    const { data, error } = await source.toPromise();
    if (error) throw asRefusal(error);
    return data;
  };
  return {
    query: (document, variables) => once(client.query(document, variables ?? {}, { requestPolicy: 'network-only' })),
    mutate: (document, variables) => once(client.mutation(document, variables ?? {})),
    subscribe(document, variables, { next, error: fail }) {
      const { unsubscribe } = client.subscription(document, variables ?? {}).subscribe(({ data, error }) => {
        if (error) fail(asRefusal(error));
        else next(data);
      });
      return unsubscribe;
    },
    close: () => socket.dispose(),
  };
}
