// urql as an application sets it up. It sends queries by GET unless told otherwise, and mutations by POST.

import { cacheExchange, Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import WebSocket from 'ws';
import { ConversationEventsDocument, LeadCreateDocument, LeadsDocument } from '../gen/graphql.js';
import { authorization, conversation, hears, Inbox, SOCKET_URL, URL } from './stoa.js';

const token = await authorization();
const socket = createClient({ url: SOCKET_URL, webSocketImpl: WebSocket, connectionParams: { authorization: token } });
after(() => socket.dispose());

function connect(preferGetMethod?: boolean | 'force') {
  const methods: string[] = [];
  const client = new Client({
    url: URL,
    ...(preferGetMethod !== undefined && { preferGetMethod }),
    fetchOptions: { headers: { authorization: token } },
    fetch: (input, init) => {
      methods.push(init?.method ?? 'GET');
      return fetch(input, init);
    },
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({
            unsubscribe: socket.subscribe({ query: query ?? '', variables: variables as Record<string, unknown> }, sink),
          }),
        }),
      }),
    ],
  });
  return { client, methods };
}

for (const [name, prefer, method] of [
  ['as it comes', undefined, 'GET'],
  ['told to GET', 'force', 'GET'],
  ['told to POST', false, 'POST'],
] as const) {
  test(`a query, ${name}`, async () => {
    const { client, methods } = connect(prefer);
    const { data, error } = await client.query(LeadsDocument, { first: 3, filter: { createdAt: { gte: '-P10Y' } } });
    assert.equal(error, undefined);
    assert.equal(data?.leads?.edges.length, 3);
    assert.deepEqual(methods, [method]);
  });
}

test('a mutation is a POST whatever is preferred', async () => {
  const { client, methods } = connect('force');
  const input = { firstName: 'Urql', lastName: 'Client', email: 'urql@example.com' };
  const { data, error } = await client.mutation(LeadCreateDocument, { input });
  assert.equal(error, undefined);
  assert.deepEqual(data?.leadCreate?.userErrors, []);
  assert.deepEqual(methods, ['POST']);
});

test('a request error has a code', async () => {
  const { data, error } = await connect().client.query(LeadsDocument, { first: 101 });
  assert.equal(data?.leads ?? null, null);
  assert.equal(typeof error?.graphQLErrors[0]?.extensions['code'], 'string');
});

test('a subscription', async () => {
  const conversationId = await conversation();
  const inbox = new Inbox();
  const { unsubscribe } = connect().client.subscription(ConversationEventsDocument, { conversationId }).subscribe(inbox.take);
  await hears(inbox, conversationId);
  unsubscribe();
});
