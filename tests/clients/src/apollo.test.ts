// Apollo Client 4 as an application sets it up: normalised cache, Relay pagination, mutations with user errors,
// subscriptions over graphql-transport-ws.

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { relayStylePagination } from '@apollo/client/utilities';
import { OperationTypeNode } from 'graphql';
import { createClient } from 'graphql-ws';
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { filter as where, firstValueFrom } from 'rxjs';
import WebSocket from 'ws';
import { ConversationEventsDocument, LeadCreateDocument, LeadsDocument } from '../gen/graphql.js';
import { authorization, conversation, hears, Inbox, SOCKET_URL, URL } from './stoa.js';

const token = await authorization();
const socket = createClient({ url: SOCKET_URL, webSocketImpl: WebSocket, connectionParams: { authorization: token } });
let requests = 0;
const client = new ApolloClient({
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    new HttpLink({
      uri: URL,
      headers: { authorization: token },
      fetch: (...args) => {
        requests++;
        return fetch(...args);
      },
    }),
  ),
  cache: new InMemoryCache({
    typePolicies: { Query: { fields: { leads: relayStylePagination(['filter', 'orderBy']) } } },
  }),
});
after(async () => {
  client.stop();
  await socket.dispose();
});

test('a list is paged into one list in the cache', async () => {
  const filter = { status: { in: ['NEW' as const, 'CONTACTED' as const] } };
  const query = client.watchQuery({ query: LeadsDocument, variables: { first: 2, filter } });
  const subscription = query.subscribe(() => {});
  const first = await firstValueFrom(query.pipe(where(({ loading }) => !loading)));
  assert.equal(first.error, undefined);
  assert.ok(first.dataState === 'complete');
  assert.equal(first.data.leads?.edges.length, 2);
  assert.ok(first.data.leads.pageInfo.hasNextPage, 'the demo has more than two of these leads');

  await query.fetchMore({ variables: { after: first.data.leads.pageInfo.endCursor ?? null } });
  const before = requests;
  const { data } = await client.query({ query: LeadsDocument, variables: { first: 2, filter } });
  assert.equal(requests, before, 'the cache answers');
  const rows = data?.leads?.edges.map(({ node }) => node) ?? [];
  assert.equal(new Set(rows.map(({ id }) => id)).size, rows.length, 'no lead is on two pages');
  assert.ok(rows.length > 2 && rows.length <= 4);
  assert.ok(rows.every(({ status }) => status === 'NEW' || status === 'CONTACTED'));
  subscription.unsubscribe();
});

test('a mutation answers the record, and user errors where the input can be mended', async () => {
  const good = await client.mutate({
    mutation: LeadCreateDocument,
    variables: { input: { firstName: 'Apollo', lastName: 'Client', email: 'apollo@example.com' } },
  });
  assert.deepEqual(good.data?.leadCreate?.userErrors, []);
  assert.equal(good.data.leadCreate.lead?.status, 'NEW');

  const bad = await client.mutate({
    mutation: LeadCreateDocument,
    variables: { input: { firstName: 'x'.repeat(500), lastName: 'Client' } },
  });
  assert.equal(bad.error, undefined);
  assert.equal(bad.data?.leadCreate?.lead, null);
  const [error] = bad.data.leadCreate.userErrors;
  assert.equal(error?.code, 'TOO_LONG');
  assert.equal(error.field?.at(-1), 'firstName');
});

test('a request error is an error of the client, not data', async () => {
  const wrong = client.query({ query: LeadsDocument, variables: { first: 101 }, fetchPolicy: 'network-only' });
  await assert.rejects(wrong, (error: { errors?: { extensions?: { code?: string } }[] }) => {
    assert.equal(typeof error.errors?.[0]?.extensions?.code, 'string');
    return true;
  });
});

test('a subscription', async () => {
  const conversationId = await conversation();
  const inbox = new Inbox();
  const subscription = client
    .subscribe({ query: ConversationEventsDocument, variables: { conversationId } })
    .subscribe({ next: inbox.take, error: inbox.fail });
  await hears(inbox, conversationId);
  subscription.unsubscribe();
});
