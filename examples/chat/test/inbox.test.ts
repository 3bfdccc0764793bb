// The store: snapshots and events in whatever order and however often, and the outbox over them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refused, Unanswered } from '../src/answer';
import { Inbox, prepend, reopen, talkOf, unread, type ConversationEvent, type InboxEvent, type Message } from '../src/inbox';
import { Outbox, type Unsent } from '../src/outbox';

const ME = 'ada';
const person = (id: string) => ({ id, name: id, avatarUrl: null });

function message(seq: number, more: Partial<Message> = {}): Message {
  const at = new Date(1_800_000_000_000 + seq * 1000).toISOString();
  const texts = {
    clientId: null,
    body: `text ${seq}`,
    createdAt: at,
    editedAt: null,
    deletedAt: null,
    threadRoot: null,
    attachments: null,
  };
  return { id: `m${seq}`, seq, version: 1, senderId: 'bob', sender: person('bob'), ...texts, reactions: [], ...more };
}

/** A conversation as the list has it: its newest message, and how many are new. */
function row(lastSeq: number, unreadCount = 0, cursor = `c${lastSeq}`) {
  const page = { nodes: [message(lastSeq)], pageInfo: { endCursor: `p${lastSeq}`, hasNextPage: lastSeq > 1 } };
  const head = {
    id: 'talk',
    version: 1,
    kind: 'GROUP' as const,
    title: 'Talk',
    topic: null,
    createdAt: '',
    archivedAt: null,
    partner: null,
  };
  return { ...head, cursor, lastSeq, unreadCount, messages: page };
}

/** The same as it is opened: with its people and all its messages. */
function opened(lastSeq: number, messages = Array.from({ length: lastSeq }, (_, place) => message(lastSeq - place))) {
  const nodes = [ME, 'bob'].map((id) => ({ memberId: id, member: person(id), lastReadSeq: 0 }));
  return {
    ...row(lastSeq),
    messages: { nodes: messages, pageInfo: { endCursor: null, hasNextPage: false } },
    participants: { nodes },
  };
}

const happened = (event: ConversationEvent): InboxEvent => ({
  __typename: 'ConversationHappened',
  conversationId: 'talk',
  event,
});
const sent = (seq: number, more: Partial<Message> = {}): InboxEvent =>
  happened({ __typename: 'MessageSent', cursor: `c${seq}`, message: message(seq, more) });
const edited = (seq: number, version: number, body: string): InboxEvent =>
  happened({ __typename: 'MessageEdited', cursor: `e${version}`, message: message(seq, { version, body }) });
const reaction = (__typename: 'ReactionAdded' | 'ReactionRemoved', memberId: string, count: number): InboxEvent =>
  happened({ __typename, cursor: `r${count}`, reaction: { messageId: 'm3', memberId, emoji: '👍', count } });

function inboxOf(...rows: ReturnType<typeof row>[]) {
  const inbox = new Inbox(ME);
  inbox.reset(rows);
  return { inbox, talk: () => inbox.talks.get().get('talk')! };
}

/** A fetch that the test answers. */
function fetching(inbox: Inbox) {
  let answer = (_: ReturnType<typeof opened>) => {};
  const joined = inbox.join('talk', new Promise<ReturnType<typeof opened>>((resolve) => (answer = resolve)), reopen);
  return { joined, answer: (talk: ReturnType<typeof opened>) => answer(talk) };
}

const bodies = (talk: { messages: readonly Message[] }) => talk.messages.map(({ body }) => body);

test('a message moves the cursor, the number and what is new in one step', () => {
  const { inbox, talk } = inboxOf(row(3));
  let seen: unknown;
  inbox.talks.watch(() => (seen = [talk().cursor, talk().lastSeq, unread(talk()), bodies(talk())]));
  inbox.take(sent(4));
  assert.deepEqual(seen, ['c4', 4, 1, ['text 3', 'text 4']]);
  assert.deepEqual(inbox.positions(), [{ conversationId: 'talk', after: 'c4' }]);
});

test('what is told twice counts once', () => {
  const { inbox, talk } = inboxOf(row(3));
  const events = [sent(4), edited(4, 2, 'better'), reaction('ReactionAdded', 'bob', 1), sent(5)];
  for (const event of [...events, ...events]) inbox.take(event);
  assert.deepEqual(bodies(talk()), ['text 3', 'better', 'text 5']);
  assert.deepEqual(talk().messages[0]?.reactions, [{ emoji: '👍', count: 1, reactedByMe: false }]);
  assert.equal(unread(talk()), 2);
});

test('an older version does not undo a newer one', () => {
  const { inbox, talk } = inboxOf(row(3));
  inbox.take(edited(3, 3, 'third'));
  inbox.take(edited(3, 2, 'second'));
  assert.deepEqual(bodies(talk()), ['third']);
});

test('a snapshot whose messages are newer than its cursor is told of them once more', () => {
  const { inbox, talk } = inboxOf({ ...row(3), messages: row(4).messages });
  inbox.take(sent(4));
  assert.deepEqual(bodies(talk()), ['text 4']);
  assert.equal(talk().lastSeq, 4);
});

test('reactions are counted as told, and one knows of one’s own', () => {
  const { inbox, talk } = inboxOf(row(3));
  inbox.take(reaction('ReactionAdded', 'bob', 1));
  inbox.take(reaction('ReactionAdded', ME, 2));
  assert.deepEqual(talk().messages[0]?.reactions, [{ emoji: '👍', count: 2, reactedByMe: true }]);
  inbox.take(reaction('ReactionRemoved', 'bob', 1));
  assert.deepEqual(talk().messages[0]?.reactions, [{ emoji: '👍', count: 1, reactedByMe: true }]);
  inbox.take(reaction('ReactionRemoved', ME, 0));
  assert.deepEqual(talk().messages[0]?.reactions, []);
});

test('positions go forwards only; who sends has read', async () => {
  const { inbox, talk } = inboxOf(row(5, 3));
  await inbox.join('talk', Promise.resolve({ ...opened(5), unreadCount: 3 }), reopen);
  const read = (memberId: string, readUpTo: number) =>
    inbox.take(happened({ __typename: 'ReceiptsMoved', cursor: 'c', receipts: [{ memberId, readUpTo }] }));
  assert.equal(unread(talk()), 3);
  read(ME, 4);
  read(ME, 3);
  assert.equal(unread(talk()), 1);
  read('bob', 5);
  inbox.take(sent(6, { senderId: ME, sender: person(ME) }));
  assert.equal(unread(talk()), 0);
  assert.deepEqual(
    [...talk().people!.values()].map(({ id, readUpTo }) => [id, readUpTo]),
    [
      [ME, 6],
      ['bob', 5],
    ],
  );
});

test('what happens while an answer is on its way is not lost, whether the answer knows of it or not', async () => {
  for (const known of [false, true]) {
    const { inbox, talk } = inboxOf(row(3));
    const { joined, answer } = fetching(inbox);
    inbox.take(sent(4));
    inbox.take(edited(2, 2, 'better')); // not shown yet
    const reacted = message(3, { reactions: [{ emoji: '👍', count: 1, reactedByMe: false }] });
    answer(known ? opened(4, [message(4), reacted, message(2, { version: 2, body: 'better' }), message(1)]) : opened(3));
    assert.equal(await joined, true);
    assert.deepEqual(bodies(talk()), ['text 1', 'better', 'text 3', 'text 4']);
    assert.equal(talk().cursor, 'e2');
  }
});

test('an older page goes before what is there, once', () => {
  const talk = talkOf(row(3));
  const page = { nodes: [message(3), message(2), message(1)], pageInfo: { endCursor: 'p1', hasNextPage: true } };
  const paged = prepend(talk, page)!;
  assert.deepEqual([bodies(paged), paged.older], [['text 1', 'text 2', 'text 3'], 'p1']);
});

test('one that cannot be continued is asked for anew', async () => {
  const { inbox, talk } = inboxOf(row(3));
  inbox.take(happened({ __typename: 'ResyncRequired', cursor: 'c9' }));
  assert.equal(talk().stale, true);
  assert.deepEqual(inbox.positions(), [], 'until it is fetched, nobody says to have it');
  await inbox.join('talk', Promise.resolve(opened(9)), reopen);
  assert.equal(talk().messages.length, 9);
  assert.deepEqual(inbox.positions(), [{ conversationId: 'talk', after: 'c9' }]);
});

test('an answer from before the feed could not be continued is of no use', async () => {
  const { inbox, talk } = inboxOf(row(3));
  const { joined, answer } = fetching(inbox);
  inbox.take(happened({ __typename: 'ResyncRequired', cursor: 'c9' }));
  answer(opened(3));
  assert.equal(await joined, false);
  assert.deepEqual([talk().lastSeq, talk().stale], [3, true]);
});

test('one that was fetched before its feed begins is fetched once more, there', async () => {
  const { inbox, talk } = inboxOf();
  const early = fetching(inbox);
  early.answer(opened(3));
  assert.equal(await early.joined, true);
  const late = fetching(inbox);
  inbox.take({ __typename: 'ConversationEntered', conversation: row(5) });
  late.answer(opened(4));
  assert.deepEqual([await late.joined, talk().lastSeq, talk().stale], [false, 3, true]);
  await inbox.join('talk', Promise.resolve(opened(5)), reopen);
  assert.deepEqual([talk().lastSeq, talk().stale, talk().cursor], [5, false, 'c5']);
});

test('an answer for a conversation that was left meanwhile is of no use', async () => {
  const { inbox } = inboxOf(row(3));
  const { joined, answer } = fetching(inbox);
  inbox.take(happened({ __typename: 'ParticipantRemoved', cursor: 'c4', participant: { memberId: ME } }));
  answer(opened(3));
  assert.equal(await joined, false);
  assert.equal(inbox.talks.get().size, 0);
});

test('whoever comes and goes is in it or not; oneself leaves the list', () => {
  const { inbox } = inboxOf(row(3));
  inbox.take({ __typename: 'ConversationEntered', conversation: { ...row(1), id: 'other' } });
  assert.deepEqual([...inbox.talks.get().keys()], ['talk', 'other']);
  inbox.take({ __typename: 'ConversationGone', conversationId: 'other' });
  inbox.take(happened({ __typename: 'ParticipantRemoved', cursor: 'c4', participant: { memberId: 'bob' } }));
  assert.deepEqual([...inbox.talks.get().keys()], ['talk']);
});

test('events that this page has not heard of move the cursor and nothing else', () => {
  const { inbox, talk } = inboxOf(row(3));
  const before = talk();
  inbox.take({ __typename: 'SomethingNew' } as unknown as InboxEvent);
  assert.equal(talk(), before);
  inbox.take(happened({ __typename: 'SomethingElse', cursor: 'c4' } as unknown as ConversationEvent));
  assert.deepEqual(talk(), { ...before, cursor: 'c4' });
});

/** A storage as a browser's, and a server whose every answer is given by the test. */
function writing(inbox: Inbox, storage = shelf()) {
  const asked: { message: Unsent; answer(seq: number): void; fail(error: Error): void }[] = [];
  const send = (message: Unsent) =>
    new Promise<number>((answer, fail) => {
      asked.push({ message, answer, fail });
    });
  const outbox = new Outbox(inbox, send, () => Promise.resolve(), storage);
  const next = async () => {
    while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    return asked.shift()!;
  };
  return { outbox, storage, asked, next, waiting: () => outbox.messages.get().map(({ body }) => body) };
}

/** Of Storage, what the outbox uses: its entries are its own properties. */
function shelf(): Storage {
  const hidden = (value: unknown) => ({ value, enumerable: false });
  return Object.create(null, {
    getItem: hidden(function (this: Record<string, string>, key: string) {
      return this[key] ?? null;
    }),
    setItem: hidden(function (this: Record<string, string>, key: string, value: string) {
      this[key] = value;
    }),
    removeItem: hidden(function (this: Record<string, string>, key: string) {
      delete this[key];
    }),
  }) as Storage;
}

const idle = () => new Promise((resolve) => setTimeout(resolve, 5));

test('messages are sent one after the other, and again with the same client id when nobody answered', async () => {
  const { inbox } = inboxOf(row(3));
  const { outbox, asked, next, waiting } = writing(inbox);
  for (const body of ['one', 'two']) outbox.write('talk', body);
  const first = await next();
  await idle();
  assert.equal(asked.length, 0, 'the second waits for the first');
  first.fail(new Unanswered('away'));
  const again = await next();
  assert.deepEqual([again.message.body, again.message.clientId], ['one', first.message.clientId]);
  again.answer(4);
  (await next()).answer(5);
  await idle();
  assert.deepEqual(waiting(), ['one', 'two'], 'shown until the feed brings them');
  inbox.take(sent(4, { senderId: ME }));
  assert.deepEqual(waiting(), ['two']);
  inbox.take(sent(5, { senderId: ME }));
  assert.deepEqual(waiting(), []);
});

test('what the feed has brought is not shown twice, though the answer was lost', async () => {
  const { inbox } = inboxOf(row(3));
  const { outbox, next, waiting } = writing(inbox);
  outbox.write('talk', 'one');
  const {
    message: { clientId },
    fail,
  } = await next();
  inbox.take(sent(4, { clientId, senderId: 'bob' }));
  assert.deepEqual(waiting(), ['one'], 'somebody else may use the same key');
  inbox.take(sent(5, { clientId, senderId: ME }));
  assert.deepEqual(waiting(), []);
  fail(new Unanswered('away'));
  await idle();
  assert.deepEqual(waiting(), []);
});

test('what was refused says why, lets others pass, and can be tried again or thrown away', async () => {
  const { inbox } = inboxOf(row(3));
  const { outbox, next, storage, waiting } = writing(inbox);
  for (const body of ['bad', 'good']) outbox.write('talk', body);
  (await next()).fail(new Refused('Too long.'));
  (await next()).answer(4);
  await idle();
  const [bad] = outbox.messages.get();
  assert.deepEqual([bad?.body, bad?.refusal], ['bad', 'Too long.']);
  outbox.retry(bad!);
  (await next()).fail(new Refused('Too long.'));
  await idle();
  outbox.discard(outbox.messages.get()[0]!);
  assert.deepEqual([waiting(), Object.keys(storage)], [['good'], []]);
});

test('what was not answered outlives the page, in its order', async () => {
  const { inbox } = inboxOf(row(3));
  const { outbox, storage, next } = writing(inbox);
  for (const body of ['one', 'two']) outbox.write('talk', body);
  const first = await next();
  outbox.close();
  const later = writing(inbox, storage);
  assert.deepEqual(later.waiting(), ['one', 'two']);
  assert.equal((await later.next()).message.clientId, first.message.clientId);
  assert.deepEqual(writing(new Inbox('somebody else'), storage).waiting(), [], 'another member of the same browser');
});
