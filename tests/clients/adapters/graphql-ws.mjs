// The package graphql-ws: everything over one socket, subprotocol graphql-transport-ws.

import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

import { dataOf, refusal } from './answer.mjs';

/** A graphql-ws client as the README recommends it: also while the server is away it tries again. */
export function socketClient(server, connectionParams) {
  return createClient({
    url: server.socketUrl,
    webSocketImpl: WebSocket,
    connectionParams,
    lazy: true,
    retryAttempts: 1_000,
    shouldRetry: () => true,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
  });
}

/** A graphql-ws client's `subscribe`, told data and refusals. */
export function listen(client, request, { next, error }) {
  return client.subscribe(request, {
    next: (result) => (result.errors ? error(refusal(result.errors)) : next(result.data)),
    error: (reason) => error(refusal(reason)),
    complete: () => {},
  });
}

export function connect(server, token) {
  const client = socketClient(server, token && { authToken: token });
  const once = (query, variables) =>
    new Promise((resolve, reject) => {
      let answer;
      client.subscribe(
        { query, variables },
        {
          next: (result) => (answer = result),
          error: (error) => reject(refusal(error)),
          complete: () => resolve(answer),
        },
      );
    }).then(dataOf);
  return {
    query: once,
    mutate: once,
    subscribe: (query, variables, observer) => listen(client, { query, variables }, observer),
    close: () => client.dispose(),
  };
}
