// graphql-ws, the reference client of graphql-transport-ws: operations, refusals, and coming back after the server or
// the network has closed the socket.

import { print } from 'graphql';
import { createClient, type Client, type ClientOptions } from 'graphql-ws';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import WebSocket from 'ws';
import {
  ConversationEventsDocument,
  DemoConversationDocument,
  LeadsDocument,
  MessageSendDocument,
  type ConversationEventsSubscription,
  type ConversationEventsSubscriptionVariables,
} from '../gen/graphql.js';
import { openRelay } from './relay.js';
import { authorization, conversation, hears, Inbox, say, send, SOCKET_URL } from './stoa.js';

const clients: Client[] = [];
after(() => Promise.all(clients.map((client) => client.dispose())));

function connect(options: Partial<ClientOptions> = {}): Client {
  const client = createClient({
    url: SOCKET_URL,
    webSocketImpl: WebSocket,
    connectionParams: async () => ({ authorization: await authorization() }),
    ...options,
  });
  clients.push(client);
  return client;
}

async function once(client: Client, query: string, variables: Record<string, unknown>) {
  for await (const result of client.iterate({ query, variables })) return result;
  assert.fail('completed without a result');
}

function watch(client: Client, variables: ConversationEventsSubscriptionVariables): Inbox {
  const inbox = new Inbox();
  // graphql-ws sends this very object again when it comes back, so that `after` can follow the feed.
  const payload = { query: print(ConversationEventsDocument), variables };
  client.subscribe<ConversationEventsSubscription>(payload, {
    next: (result) => {
      const cursor = result.data?.conversationEvents.cursor;
      if (cursor) variables.after = cursor;
      inbox.take(result);
    },
    error: inbox.fail,
    complete: () => {},
  });
  return inbox;
}

test('a query', async () => {
  const result = await once(connect(), print(LeadsDocument), { first: 3 });
  assert.equal(result.errors, undefined);
  assert.equal((result.data as { leads: { edges: unknown[] } }).leads.edges.length, 3);
});

test('a mutation, whose client id makes the second send an echo of the first', async () => {
  const client = connect();
  const input = { conversationId: await conversation(), body: 'Hello', clientId: randomUUID() };
  const first = await once(client, print(MessageSendDocument), { input });
  assert.equal(first.errors, undefined);
  assert.ok((first.data as { messageSend: { message: unknown } }).messageSend.message);
  assert.deepEqual((await once(client, print(MessageSendDocument), { input })).data, first.data);
});

test('a subscription', async () => {
  const conversationId = await conversation();
  await hears(watch(connect(), { conversationId }), conversationId);
});

test('a conversation of the demo, whose messages are older than the log', async () => {
  const { conversations } = await send(DemoConversationDocument, {}, await authorization());
  const [demo] = conversations?.nodes ?? [];
  assert.ok(demo?.cursor && demo.messages, 'the demo has this conversation');
  assert.ok(demo.messages.pageInfo.hasNextPage, 'and it has a history');
  const inbox = watch(connect(), { conversationId: demo.id, after: demo.cursor });
  const sent = await say(demo.id, 'And now live');
  assert.equal(sent, demo.lastSeq + 1, 'numbers go on where the history ends');
  await inbox.expect(sent, sent);
});

test('two subscriptions on one socket', async () => {
  const client = connect();
  const [one, two] = [await conversation(), await conversation()];
  const [first, second] = [watch(client, { conversationId: one }), watch(client, { conversationId: two })];
  await Promise.all([hears(first, one), hears(second, two)]);
});

test('a request that is wrong gets its errors, and the socket goes on', async () => {
  const client = connect();
  const failure = await once(client, '{ thereIsNoSuchField }', {}).catch((errors: unknown) => errors);
  assert.ok(Array.isArray(failure), 'the error message has a list');
  assert.equal(typeof failure[0].message, 'string');
  assert.deepEqual((await once(client, '{ __typename }', {})).data, { __typename: 'Query' });
});

test('a bad token closes with 4403, and the client comes back with a good one', async () => {
  const closes: number[] = [];
  let attempt = 0;
  const client = connect({
    connectionParams: async () => ({ authorization: attempt++ === 0 ? 'Bearer nonsense' : await authorization() }),
    retryWait: async () => {},
    on: { closed: (event) => closes.push((event as { code: number }).code) },
  });
  assert.equal((await once(client, print(LeadsDocument), { first: 1 })).errors, undefined);
  assert.deepEqual(closes, [4403]);
});

// 1012: the server restarts. 1013: too slow a reader. 4403: the token has ended. 1001: going away.
for (const code of [1012, 1013, 4403, 1001]) {
  test(`after a close with ${code} the feed resumes without a gap or a repeat`, async () => {
    const relay = await openRelay(SOCKET_URL);
    try {
      const conversationId = await conversation();
      const inbox = watch(
        connect({ url: relay.url, retryWait: () => new Promise((resolve) => setTimeout(resolve, 300)) }),
        { conversationId },
      );
      const first = await inbox.begin(conversationId);
      relay.cut(code);
      for (const body of ['missed', 'missed, too']) await say(conversationId, body);
      await inbox.expect(first + 1, first + 2);
      await say(conversationId, 'live again');
      await inbox.expect(first + 3, first + 3);
      assert.equal(relay.connections(), 2);
    } finally {
      relay.close();
    }
  });
}
