// Apollo Client 4.

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from 'apollo-client-4';
import { GraphQLWsLink } from 'apollo-client-4/link/subscriptions';

import { adapter } from './apollo.mjs';

export const connect = adapter({ ApolloClient, ApolloLink, HttpLink, InMemoryCache, GraphQLWsLink });
