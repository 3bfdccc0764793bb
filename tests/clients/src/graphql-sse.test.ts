// graphql-sse in its "distinct connections" mode: a subscription is one HTTP request whose answer does not end.

import { print } from 'graphql';
import { createClient } from 'graphql-sse';
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ConversationEventsDocument, LeadsDocument, type ConversationEventsSubscription } from '../gen/graphql.js';
import { authorization, conversation, hears, Inbox, URL } from './stoa.js';

const client = createClient({
  url: URL,
  singleConnection: false,
  retryAttempts: 0,
  headers: async () => ({ authorization: await authorization() }),
});
after(() => client.dispose());

test('a query', async () => {
  for await (const result of client.iterate({ query: print(LeadsDocument), variables: { first: 3 } })) {
    assert.equal(result.errors, undefined);
    assert.equal((result.data as { leads: { edges: unknown[] } }).leads.edges.length, 3);
  }
});

test('a subscription', async () => {
  const conversationId = await conversation();
  const inbox = new Inbox();
  const stop = client.subscribe<ConversationEventsSubscription>(
    { query: print(ConversationEventsDocument), variables: { conversationId } },
    { next: inbox.take, error: inbox.fail, complete: () => {} },
  );
  await hears(inbox, conversationId);
  stop();
});
