// Carries GraphiQL's requests to the server that the page came from: queries and mutations over HTTP, subscriptions
// over a WebSocket on the same path.
//
// A browser cannot set headers on a WebSocket. So the `Authorization` header of the headers editor travels in the
// payload of `connection_init`, as `authToken`. One socket speaks for one credential: another credential opens
// another socket and ends the earlier one.

import { Kind, parse } from 'graphql';
import { createClient } from 'graphql-ws';

const URL_HTTP = new URL('/graphql', window.location.href).href;
const URL_SOCKET = URL_HTTP.replace(/^http/, 'ws');
const ACCEPT = 'application/graphql-response+json, application/json;q=0.9';
/** Closed for a reason that trying again with the same credential does not mend. */
const REFUSED = 4403;

/** The value of the header, whatever the case of its name; empty when there is none. */
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
      // An idle socket stays a moment, for the next run.
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

/** The operations in the document; none when it does not parse: the server says what is wrong with it. */
function operationsOf({ query }) {
  try {
    return parse(query).definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  } catch {
    return [];
  }
}

/** GraphiQL's fetcher. */
export function fetcher({ operationName, ...params }, options) {
  const headers = options?.headers ?? {};
  const operations = operationsOf(params);
  // A moment after an edit GraphiQL still names the operation that was there before. One alone needs no name.
  const request = operations.length === 1 ? params : { ...params, operationName };
  const chosen = operations.length === 1 ? operations[0] : operations.find(({ name }) => name?.value === operationName);
  const isSubscription = chosen?.operation === 'subscription';
  return isSubscription ? subscribe(request, authorizationOf(headers)) : post(request, headers);
}
