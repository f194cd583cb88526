// Apollo Client, of any major: HTTP for queries and mutations, GraphQLWsLink for subscriptions, the normalised cache.

import { parse } from 'graphql';
import WebSocket from 'ws';

import { Refused } from './answer.mjs';
import { socketClient } from './graphql-ws.mjs';

// GraphQLWsLink asks it for a constant when it is told of errors; browsers and Node from 22 have it.
globalThis.WebSocket ??= WebSocket;

/** Apollo parses a document once, as `gql` does: what is the same text is then the same document to its cache. */
const parsed = new Map();
const documentOf = (text) => parsed.get(text) ?? parsed.set(text, parse(text)).get(text);

/** Errors as major 3 (`graphQLErrors`) and major 4 (`errors`) wrap them. */
const asRefusal = (error) => {
  const errors = error.graphQLErrors ?? error.errors;
  return errors?.length ? new Refused(errors) : error;
};

/** An adapter of this major's modules. */
export function adapter({ ApolloClient, ApolloLink, HttpLink, InMemoryCache, GraphQLWsLink }) {
  return function connect(server, token) {
    const authorization = token && `Bearer ${token}`;
    const socket = socketClient(server, authorization && { authorization });
    // Apollo copies variables before a link sees them; this puts those back whose getters are to be read at each
    // connection, so that a stream resumes `after` the last message heard.
    const resume = new ApolloLink((operation, forward) => {
      const { variables } = operation.getContext();
      if (variables) operation.variables = variables;
      return forward(operation);
    });
    const isSubscription = ({ query }) =>
      query.definitions.some(({ kind, operation }) => kind === 'OperationDefinition' && operation === 'subscription');
    const apollo = new ApolloClient({
      cache: new InMemoryCache(),
      link: ApolloLink.split(
        isSubscription,
        ApolloLink.from([resume, new GraphQLWsLink(socket)]),
        new HttpLink({ uri: server.url, headers: authorization ? { authorization } : {} }),
      ),
    });
    const once = async (answer) => {
      try {
        return (await answer).data;
      } catch (error) {
        throw asRefusal(error);
      }
    };
    return {
      query: (document, variables) =>
        once(apollo.query({ query: documentOf(document), variables, fetchPolicy: 'network-only' })),
      mutate: (document, variables) => once(apollo.mutate({ mutation: documentOf(document), variables })),
      subscribe(document, variables, { next, error: fail }) {
        const options = { query: documentOf(document), variables, context: { variables } };
        const subscription = apollo.subscribe(options).subscribe({
          // Major 4 tells errors as a result.
          next: ({ data, error }) => (error ? fail(asRefusal(error)) : next(data)),
          error: (error) => fail(asRefusal(error)),
        });
        return () => subscription.unsubscribe();
      },
      cached: (document, variables) => apollo.readQuery({ query: documentOf(document), variables }),
      /** Tells `next` the query's data, from the cache or the server, then at every change of the cache. */
      watch(document, variables, next) {
        const told = ({ data, dataState }) => {
          // Major 4 tells first that it is loading.
          if (data && dataState !== 'empty') next(data);
        };
        const subscription = apollo.watchQuery({ query: documentOf(document), variables }).subscribe(told);
        return () => subscription.unsubscribe();
      },
      async close() {
        apollo.stop();
        await socket.dispose();
      },
    };
  };
}
