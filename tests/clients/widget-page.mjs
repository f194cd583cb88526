// A deployed widget, as a page: its documents, Apollo Client 3 with graphql-ws 5 as it comes, the token in local storage
// and never on the socket. `window.widget` is what a customer sees and does.

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from 'apollo-client-3/core';
import { GraphQLWsLink } from 'apollo-client-3/link/subscriptions';
import { createClient } from 'graphql-ws-5';

const settings = Object.fromEntries(new URLSearchParams(location.search));
const { url, publicKey, websiteId, contractId } = settings;

const token = () => localStorage.getItem('token');
const authorized = new ApolloLink((operation, forward) => {
  if (token()) operation.setContext({ headers: { authorization: `Bearer ${token()}` } });
  return forward(operation);
});
const socket = createClient({ url: url.replace(/^http/, 'ws') });
const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: ApolloLink.split(
    ({ query }) => query.definitions.some(({ operation }) => operation === 'subscription'),
    new GraphQLWsLink(socket),
    ApolloLink.from([authorized, new HttpLink({ uri: url })]),
  ),
});

const mutate = async (text, variables) => (await client.mutate({ mutation: gql(text), variables })).data;
const query = async (text, variables) =>
  (await client.query({ query: gql(text), variables, fetchPolicy: 'no-cache' })).data;

const widget = {
  chat: JSON.parse(settings.chat ?? localStorage.getItem('chat') ?? 'null'),
  /** What is on the screen: texts in the order in which they came. */
  shown: [],
  told: [],
  ended: false,
  failures: [],
  startedAt: 0,

  async login() {
    const { consumerLogin } = await mutate(
      'mutation ($key: UUID!) { consumerLogin(input: { publicKey: $key }) { jwtToken } }',
      { key: publicKey },
    );
    localStorage.setItem('token', consumerLogin.jwtToken);
  },
  hasToken: () => token() !== null,
  site: () =>
    query(
      `query ($id: UUID!) { website(id: $id) { logoUrl color contracts(condition: { status: "active" }) {
         id name session } } }`,
      { id: websiteId },
    ),
  async ask(headline) {
    const { createChat } = await mutate(
      `mutation ($chat: ChatInput!) { createChat(input: { chat: $chat }) { chat {
         id key status missed headline ipAddress customerName } } }`,
      { chat: { customerName: 'Eve', headline, contractId } },
    );
    subscribe(
      `subscription ($contractId: UUID, $status: String) { chatChanged(contractId: $contractId, status: $status) {
         operation record { id status headline } } }`,
      { contractId, status: 'STARTED' },
      ({ chatChanged: { record } }) => {
        widget.told.push(record);
        // It adopts whatever it is told of.
        if (!widget.chat) widget.adopt(record).catch((error) => widget.failures.push(String(error)));
      },
    );
    return createChat.chat;
  },
  async adopt(record) {
    widget.chat = record;
    widget.startedAt = Date.now();
    localStorage.setItem('chat', JSON.stringify(record));
    await widget.write(record.headline);
    await widget.enter();
  },
  async enter() {
    subscribe('subscription { chatChanged { operation record { id status } } }', {}, ({ chatChanged: { record } }) => {
      widget.told.push(record);
      if (record.id === widget.chat.id && record.status === 'FINISHED') widget.ended = true;
    });
    subscribe(
      'subscription ($chatId: UUID!) { onMessageAdded(chatId: $chatId) { record { id text isAgent } } }',
      { chatId: widget.chat.id },
      ({ onMessageAdded: { record } }) => widget.shown.push(record.text),
    );
  },
  async read() {
    const { messages } = await query(
      `query ($chatId: UUID!) { messages(condition: { chatId: $chatId }, orderBy: INSERTED_AT_ASC) { id text isAgent } }`,
      { chatId: widget.chat.id },
    );
    return messages.map(({ text }) => text);
  },
  write: (text) =>
    mutate(
      `mutation ($message: MessageInput!) { createMessage(input: { message: $message }) { message {
         id text author isAgent insertedAt updatedAt } } }`,
      { message: { text, isAgent: false, author: 'Eve', chatId: widget.chat.id } },
    ),
  end: () =>
    mutate('mutation ($id: UUID!) { updateChat(input: { id: $id, patch: { status: FINISHED } }) { chat { status } } }', {
      id: widget.chat.id,
    }),
  rate: (rating) =>
    mutate('mutation ($rate: RateInput!) { createRate(input: { rate: $rate }) { rate { id } } }', {
      rate: { rating, chatId: widget.chat.id },
    }),
};

function subscribe(text, variables, next) {
  client.subscribe({ query: gql(text), variables }).subscribe({
    next: ({ data }) => next(data),
    error: (error) => widget.failures.push(String(error.message ?? error)),
  });
}

window.widget = widget;
