// The server under test and what every client needs of it: a member who is signed in, a conversation to talk in, and
// a proof that a feed delivers everything once and in order.

import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  ConversationCreateDocument,
  LoginDocument,
  MessageSendDocument,
  type ConversationEventsSubscription,
} from '../gen/graphql.js';

export const URL = process.env['STOA_URL'] ?? 'http://127.0.0.1:4000/graphql';
export const SOCKET_URL = URL.replace(/^http/, 'ws');

const PATIENCE = 5000;

/** Sends an operation as plain HTTP and answers its data; GraphQL errors fail the test. */
export async function send<R, V>(document: TypedDocumentNode<R, V>, variables: V, authorization?: string): Promise<R> {
  const response = await fetch(URL, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json',
      ...(authorization && { authorization }),
    },
    body: JSON.stringify({ query: print(document), variables }),
  });
  const { data, errors } = (await response.json()) as { data?: R; errors?: unknown };
  assert.deepEqual(errors, undefined);
  assert.ok(data);
  return data;
}

let signedIn: Promise<string> | undefined;

/** The value of `Authorization` for the administrator of the demo organization; one sign-in per test file. */
export function authorization(): Promise<string> {
  signedIn ??= send(LoginDocument, { input: { email: 'admin@acme.com', password: 'password123' } }).then(({ login }) => {
    assert.deepEqual(login?.userErrors, []);
    assert.ok(login.session);
    return `Bearer ${login.session.accessToken}`;
  });
  return signedIn;
}

/** A new conversation of the administrator alone. */
export async function conversation(): Promise<string> {
  const input = { kind: 'GROUP' as const, title: `Client test ${randomUUID()}` };
  const { conversationCreate } = await send(ConversationCreateDocument, { input }, await authorization());
  assert.deepEqual(conversationCreate?.userErrors, []);
  assert.ok(conversationCreate.conversation);
  return conversationCreate.conversation.id;
}

export async function say(conversationId: string, body: string): Promise<number> {
  const input = { conversationId, body, clientId: randomUUID() };
  const { messageSend } = await send(MessageSendDocument, { input }, await authorization());
  assert.deepEqual(messageSend?.userErrors, []);
  assert.ok(messageSend.message);
  return messageSend.message.seq;
}

type Event = ConversationEventsSubscription['conversationEvents'];

/** What a subscription has delivered, in order; the messages only. */
export class Inbox {
  readonly #arrived: Event[] = [];
  #failure: unknown;
  #wake = () => {};

  /** Takes what a client delivers. */
  readonly take = (result: { data?: ConversationEventsSubscription | null | undefined; errors?: unknown; error?: unknown }) => {
    if (result.errors ?? result.error) return this.fail(result.errors ?? result.error);
    if (result.data?.conversationEvents.__typename === 'MessageSent') this.#arrived.push(result.data.conversationEvents);
    this.#wake();
  };

  readonly fail = (failure: unknown) => {
    this.#failure = failure;
    this.#wake();
  };

  /** The next event; null when none comes in time. */
  async next(patience = PATIENCE): Promise<(Event & { __typename: 'MessageSent' }) | null> {
    const until = Date.now() + patience;
    for (;;) {
      if (this.#failure) assert.fail(`the subscription failed: ${JSON.stringify(this.#failure)}`);
      const event = this.#arrived.shift();
      if (event?.__typename === 'MessageSent') return event;
      if (Date.now() >= until) return null;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, until - Date.now());
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Fails unless exactly the messages `from` to `to` come next, and nothing after them. */
  async expect(from: number, to: number) {
    for (let seq = from; seq <= to; seq++) assert.equal((await this.next())?.message.seq, seq);
    assert.equal(await this.next(300), null, 'nothing comes twice');
  }

  /** Sends until the feed is heard (no protocol says when a subscription has begun), and answers that number. */
  async begin(conversationId: string): Promise<number> {
    for (const until = Date.now() + PATIENCE; Date.now() < until; ) {
      const sent = await say(conversationId, 'Can you hear me?');
      const first = await this.next(500);
      if (!first) continue;
      assert.equal(first.message.seq, sent, 'a feed without `after` begins with what is new');
      return sent;
    }
    assert.fail('the subscription delivers nothing');
  }
}

/** The proof for every client: what is sent arrives, all of it, once, in order. */
export async function hears(inbox: Inbox, conversationId: string) {
  const first = await inbox.begin(conversationId);
  for (const body of ['one', 'two', 'three']) await say(conversationId, body);
  await inbox.expect(first + 1, first + 3);
}
