// The package subscriptions-transport-ws, which clients in the field still have: everything over one socket, the legacy
// subprotocol graphql-ws.

import { SubscriptionClient } from 'subscriptions-transport-ws';
import WebSocket from 'ws';

import { dataOf, refusal, Refused } from './answer.mjs';

export function connect(server, token) {
  const connectionParams = token ? { Authorization: `Bearer ${token}` } : {};
  const client = new SubscriptionClient(server.socketUrl, { reconnect: true, lazy: true, connectionParams }, WebSocket);
  // This client hands on one error of several.
  const asRefusal = (error) => (error instanceof Error ? error : new Refused([error]));
  const once = (query, variables) =>
    new Promise((resolve, reject) => {
      let answer;
      client.request({ query, variables }).subscribe({
        next: (result) => (answer = result),
        error: (error) => reject(asRefusal(error)),
        complete: () => resolve(answer),
      });
    }).then(dataOf);
  return {
    query: once,
    mutate: once,
    subscribe(query, variables, { next, error }) {
      const { unsubscribe } = client.request({ query, variables }).subscribe({
        next: (result) => (result.errors ? error(refusal(result.errors)) : next(result.data)),
        error: (reason) => error(asRefusal(reason)),
        complete: () => {},
      });
      return unsubscribe;
    },
    close: () => client.close(),
  };
}
