// The whole chat story, told once and lived by every client: a visitor's widget asks, two agents' consoles answer at
// the same moment, one wins, they talk, the visitor ends it and rates. Each has a client of its own and the token that
// it would have in the field. A client without streams asks again instead.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { agent as agentSends, service as serviceSends, widget as widgetSends } from './documents.mjs';
import { listen } from './stream.mjs';

const ADDRESS = '203.0.113.7';
const CODES = new Set(['NOT_FOUND', 'FORBIDDEN']);

const refusedWith = (code) => (error) => {
  assert.equal(error.code, code, error.message);
  return true;
};

/** The demo company and a token of each of its agents and of its server, from the commands of a started server. */
export async function cast(server) {
  const demo = JSON.parse(await server.command('seed', '--json'));
  const token = (...words) => server.command('token', '--role', ...words);
  const agentIds = [...new Set(demo.contracts.map(({ agentId }) => agentId))];
  const agents = await Promise.all(agentIds.map(async (id) => ({ id, token: await token('agent', '--agent', id) })));
  return { server, demo, agents, serviceToken: await token('service') };
}

/** Tells the story to the clients that `connect` makes. */
export async function tell(connect, cast) {
  const clients = [];
  const open = (token) => {
    const client = connect(cast.server, token);
    clients.push(client);
    return client;
  };
  try {
    const story = { ...cast, open, headline: `My order is late (${randomUUID()})` };
    await arrive(story);
    await ask(story);
    await race(story);
    await talk(story);
    await part(story);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}

/** The widget logs in and draws itself; agents open their inboxes. */
async function arrive(story) {
  const { server, demo, open } = story;
  const login = async () => {
    const { consumerLogin } = await open().mutate(widgetSends.Login, { publicKey: demo.publicKey });
    const claims = JSON.parse(Buffer.from(consumerLogin.jwtToken.split('.')[1], 'base64url'));
    assert.deepEqual([claims.user_id, claims.role], [demo.websiteId, 'consumer']);
    return open(consumerLogin.jwtToken);
  };
  story.widget = await login();
  story.stranger = await login();
  // Widgets in the field open a socket without their token, by mistake: it goes by the ids of the chats that it knows.
  story.mistaken = open();
  story.service = open(story.serviceToken);
  story.agents = story.agents.map(({ id, token }) => {
    const client = open(token);
    return { id, client, inbox: listen(client, agentSends.Inbox) };
  });

  const { website } = await story.widget.query(widgetSends.Website, { id: demo.websiteId });
  assert.deepEqual(website.contracts.map(({ id }) => id).sort(), demo.contracts.map(({ id }) => id).sort());
  const hour = new Date(await (await fetch(`${server.origin}/api/time`)).json()).getUTCHours();
  story.contracts = website.contracts.filter(({ session }) => session === Math.floor(hour / 8) + 1);
  assert.equal(story.contracts.length, story.agents.length);
  const [drawn] = story.contracts;
  const { contract } = await story.widget.query(widgetSends.Contract, { id: drawn.id });
  assert.deepEqual([contract.name, contract.agent.id], [drawn.name, drawn.agentId]);

  // The company paints a contract; the widget follows.
  const painted = listen(story.widget, widgetSends.ContractChanged, { companyId: drawn.companyId });
  let color;
  const paint = async () => {
    color = `#${randomUUID().slice(0, 6)}`;
    const answer = await story.service.mutate(serviceSends.Paint, { id: drawn.id, color });
    assert.equal(answer.updateContract.contract.color, color);
  };
  await (painted ? painted.begun(paint) : paint());
  await painted?.until(({ operation, record }) => operation === 'UPDATE' && record.color === color, 'the color');
  painted?.stop();
  await Promise.all(story.agents.map(({ inbox }) => inbox?.until(({ operation }) => operation === 'READY')));
}

/** One chat for each contract on shift, all with one key. */
async function ask(story) {
  const { widget, stranger, contracts, agents, headline } = story;
  const key = randomUUID();
  const create = async (client, contract) => {
    const variables = { customerName: 'Eve', headline, contractId: contract.id, ipAddress: ADDRESS, key };
    return (await client.mutate(widgetSends.CreateChat, variables)).createChat.chat;
  };
  const chats = await Promise.all(contracts.map((contract) => create(widget, contract)));
  const asked = { key, status: 'ACTIVE', missed: false, headline, ipAddress: ADDRESS, customerName: 'Eve' };
  for (const { __typename, id, ...chat } of chats) assert.deepEqual(chat, asked);
  assert.equal((await create(widget, contracts[0])).id, chats[0].id, 'a repeat answers the chat that is there');
  await assert.rejects(create(stranger, contracts[0]), refusedWith('CONFLICT'));

  agents.forEach((agent) => {
    agent.chatId = chats[contracts.findIndex(({ agentId }) => agentId === agent.id)].id;
  });
  story.key = key;
  story.offers = chats.map(({ id }) => id);
  for (const { inbox, chatId } of agents) {
    const { operation } = (await inbox?.until(({ record }) => record?.id === chatId, 'the offer')) ?? {};
    if (inbox) assert.equal(operation, 'INSERT');
  }
  // Before its time a miss is not believed.
  const { updateChat } = await widget.mutate(widgetSends.Miss, { id: chats[0].id });
  assert.equal(updateChat.chat.missed, false);
  // What one is not part of is not there.
  assert.equal((await stranger.query(widgetSends.Chat, { id: chats[0].id })).chat, null);
  const closed = listen(stranger, widgetSends.ChatStream, { chatId: chats[0].id });
  if (closed) await assert.rejects(closed.until(() => true), refusedWith('NOT_FOUND'));
  await assert.rejects(agents[0].client.query(widgetSends.Messages, { chatId: agents[1].chatId }), ({ code }) =>
    CODES.has(code),
  );
}

/** Both agents answer at once; everybody learns who won. */
async function race(story) {
  const { widget, mistaken, stranger, agents, contracts, offers, key } = story;
  story.overheard = listen(stranger, widgetSends.ChatChanged);
  story.changes = listen(widget, widgetSends.ChatChanged);
  const started = contracts.map(({ id }) =>
    listen(widget, widgetSends.ChatChanged, { contractId: id, status: 'STARTED' }),
  );
  const [shown, known] = [widget, mistaken].map((client) =>
    offers.map((chatId) => listen(client, widgetSends.ChatStream, { chatId })),
  );
  await Promise.all([...shown, ...known].map((stream) => stream?.until(({ status }) => status === 'ACTIVE')));
  const unnamed = listen(mistaken, widgetSends.ChatChanged, { contractId: contracts[0].id });
  if (unnamed) await assert.rejects(unnamed.until(() => true), refusedWith('FORBIDDEN'));
  for (const id of offers) assert.equal((await widget.query(widgetSends.Chat, { id })).chat.status, 'ACTIVE');

  const answers = await Promise.all(
    agents.map(({ client, chatId }) => client.mutate(agentSends.StartChat, { chatId })),
  );
  const outcomes = answers.map(({ startChat }) => startChat.outcome);
  assert.deepEqual([...outcomes].sort(), ['LOST_RACE', 'STARTED']);
  for (const { startChat } of answers) assert.deepEqual([startChat.race.id, startChat.race.state], [key, 'WON']);
  const winner = (story.winner = agents[outcomes.indexOf('STARTED')]);
  const loser = agents[outcomes.indexOf('LOST_RACE')];
  const isWon = (message) => {
    const chat = message.record ?? message; // `chat` sends the record itself
    return chat.id === winner.chatId && chat.status === 'STARTED';
  };

  // The widget, by each of its streams.
  await story.changes?.until(isWon, 'the win');
  const [won, lost] = [winner, loser].map(({ chatId }) => offers.indexOf(chatId));
  await started[won]?.until(isWon, 'the win, by its contract');
  const answered = await shown[won]?.until(isWon, 'the win, by its chat');
  if (answered) assert.equal(answered.contract.agent.id, winner.id);
  await known[won]?.until(isWon, 'the win, by its chat, without a token');
  await shown[lost]?.until(({ status }) => status === 'FINISHED', 'the end of the other offer');
  // A normalised cache has taken the events in: a query that was asked before shows them.
  for (const [{ chatId }, status] of [[winner, 'STARTED'], [loser, 'FINISHED']]) {
    if (!widget.cached) continue;
    const { chat } = widget.cached(widgetSends.Chat, { id: chatId });
    assert.deepEqual([chat.status, chat.version], [status, 2], 'from the cache');
  }
  const { chat } = await widget.query(widgetSends.Chat, { id: winner.chatId });
  assert.deepEqual([chat.status, chat.contract.agent.id], ['STARTED', winner.id]);

  // The agents, by their inboxes: each of its own chat only.
  await winner.inbox?.until(isWon, 'the win in the inbox');
  await loser.inbox?.until(({ record }) => record?.id === loser.chatId && record.closeReason === 'RESCINDED');
  for (const { inbox, chatId } of agents) {
    assert.ok((inbox?.records ?? []).every(({ key: of, id }) => of !== key || id === chatId), 'another agent’s chat');
  }
  const again = loser.client.mutate(agentSends.StartByPatch, { id: loser.chatId });
  await assert.rejects(again, refusedWith('CONFLICT'));
  const repeated = await winner.client.mutate(agentSends.StartChat, { chatId: winner.chatId });
  assert.equal(repeated.startChat.outcome, 'ALREADY_STARTED');
  story.rescinded = loser.chatId;
  [...started, ...shown, ...known].forEach((stream) => stream?.stop());
}

/** The headline is the first message, once; then each writes, and all hear all of it in order. */
async function talk({ widget, mistaken, winner, headline }) {
  const { chatId } = winner;
  const write = async (client, isAgent, text) => {
    const variables = { text, isAgent, author: isAgent ? 'Agent' : 'Eve', chatId };
    return (await client.mutate(widgetSends.CreateMessage, variables)).createMessage.message;
  };
  const listeners = [widget, winner.client, mistaken];
  const said = async (client) => (await client.query(widgetSends.Messages, { chatId })).messages;
  const [opening, ...others] = await said(widget);
  assert.deepEqual([opening.text, opening.isAgent, opening.author, others], [headline, false, 'Eve', []]);
  // Widgets in the field write it themselves, too.
  assert.equal((await write(widget, false, headline)).id, opening.id);

  const streams = listeners.map((client) => listen(client, widgetSends.MessageStream, { chatId }));
  let calls = 0;
  for (const stream of streams) await stream?.begun(() => write(winner.client, true, `Are you there? ${(calls += 1)}`));
  const written = [
    await write(winner.client, true, 'Good morning, what is its number?'),
    await write(widget, false, '4711 🐢 "quoted"\nand a second line'),
    await write(winner.client, true, 'It is on its way'),
  ];
  const all = await said(widget);
  assert.equal(all.length, 1 + calls + written.length);
  assert.equal(all[0].id, opening.id);
  assert.deepEqual(all.slice(-written.length).map(({ id }) => id), written.map(({ id }) => id));
  for (const client of listeners) assert.deepEqual((await said(client)).map(({ id }) => id), all.map(({ id }) => id));
  assert.deepEqual(written.map(({ isAgent }) => isAgent), [true, false, true]);
  for (const stream of streams) {
    if (!stream) continue;
    await stream.until(({ record }) => record.id === written.at(-1).id, 'the last message');
    const from = all.findIndex(({ id }) => id === stream.records[0].id);
    assert.deepEqual(stream.records.map(({ text }) => text), all.slice(from).map(({ text }) => text));
    stream.stop();
  }
}

/** The visitor ends it and rates; the trail has every change once. */
async function part({ widget, service, winner, rescinded, changes, overheard }) {
  const id = winner.chatId;
  const { updateChat } = await widget.mutate(widgetSends.Finish, { id });
  assert.equal(updateChat.chat.status, 'FINISHED');
  const isOver = ({ record }) => record?.id === id && record.status === 'FINISHED';
  await changes?.until(isOver, 'the end');
  await winner.inbox?.until(isOver, 'the end in the inbox');

  for (const rating of [4, 5]) {
    const { createRate } = await widget.mutate(widgetSends.CreateRate, { rating, chatId: id });
    assert.ok(createRate.rate.id);
  }
  const { chat } = await widget.query(widgetSends.Chat, { id });
  assert.deepEqual([chat.status, chat.closeReason, chat.rating], ['FINISHED', 'COMPLETED', 5]);
  const late = { text: 'Too late', isAgent: false, author: 'Eve', chatId: id };
  await assert.rejects(widget.mutate(widgetSends.CreateMessage, late), refusedWith('CONFLICT'));

  if (changes) {
    const told = changes.records.filter((record) => record.status !== 'ACTIVE');
    assert.ok(told.every((record) => record.id !== rescinded), 'a visitor is not told of withdrawn offers');
    assert.equal(told.filter(({ status }) => status === 'STARTED').length, 1, 'the win is told once');
    assert.deepEqual(overheard.heard, [], 'another visitor hears nothing');
    const versions = winner.inbox.records.filter((record) => record.id === id).map(({ version }) => version);
    assert.deepEqual(versions.slice(0, 3), [1, 2, 3]);
  }
  const { events } = await service.query(serviceSends.Trail, { id });
  assert.deepEqual(events.nodes.map(({ version }) => version), events.nodes.map((_, index) => index + 1));
  assert.deepEqual(events.nodes.slice(0, 3).map(({ type }) => type), ['ChatOffered', 'ChatStarted', 'ChatCompleted']);
}
