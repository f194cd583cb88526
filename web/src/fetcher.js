// Sends GraphiQL's requests to the server of the page: queries and mutations over HTTP, subscriptions over a WebSocket on
// the same path.
//
// Browsers cannot set headers on a WebSocket, so the `Authorization` header of the headers editor is sent in the payload
// of `connection_init`, as `authToken`. A socket has one credential: a request with another credential closes the socket
// and opens a new one.

import { Kind, parse } from 'graphql';
import { createClient } from 'graphql-ws';

const URL_HTTP = new URL('/graphql', window.location.href).href;
const URL_SOCKET = URL_HTTP.replace(/^http/, 'ws');
const ACCEPT = 'application/graphql-response+json, application/json;q=0.9';
/** The close code for a refused credential. Reconnecting with the same credential would fail again. */
const REFUSED = 4403;

/** The value of the `Authorization` header in any case of its name; empty without one. */
export function authorizationOf(headers) {
  const found = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === 'authorization');
  return typeof found?.[1] === 'string' ? found[1].trim() : '';
}

async function post(params, headers) {
  const response = await fetch(URL_HTTP, {
    method: 'POST',
    headers: { accept: ACCEPT, ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(params),
    credentials: 'omit',
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`the server answered ${response.status} ${response.statusText}, which is not GraphQL`);
  }
}

let socket;

function socketFor(authorization) {
  if (socket?.authorization !== authorization) {
    socket?.client.dispose();
    const client = createClient({
      url: URL_SOCKET,
      connectionParams: authorization ? { authToken: authorization } : {},
      // An idle socket stays open for a while, for the next operation.
      lazyCloseTimeout: 3_000,
      shouldRetry: (event) => event?.code !== REFUSED,
    });
    socket = { authorization, client };
  }
  return socket.client;
}

async function* subscribe(params, authorization) {
  try {
    yield* socketFor(authorization).iterate(params);
  } catch (problem) {
    if (problem instanceof CloseEvent) {
      throw new Error(`the server closed the socket: ${problem.code} ${problem.reason}`.trim());
    }
    throw problem;
  }
}

/** The operations of the document; none if it does not parse, because the server reports the error. */
function operationsOf({ query }) {
  try {
    return parse(query).definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  } catch {
    return [];
  }
}

/** Runs one operation for GraphiQL: over the WebSocket if it is a subscription, otherwise over HTTP. */
export function fetcher({ operationName, ...params }, options) {
  const headers = options?.headers ?? {};
  const operations = operationsOf(params);
  // Shortly after an edit GraphiQL still passes the old operation name. A single operation needs none, so it is omitted.
  const request = operations.length === 1 ? params : { ...params, operationName };
  const chosen = operations.length === 1 ? operations[0] : operations.find(({ name }) => name?.value === operationName);
  const isSubscription = chosen?.operation === 'subscription';
  return isSubscription ? subscribe(request, authorizationOf(headers)) : post(request, headers);
}
