// The chat of whoever is signed in: fetches, follows the feeds, and does what is asked for. What is done is shown when the
// feed tells of it, whoever has done it; a message alone is shown before, by the outbox.

import { dataOf, payloadOf, Refused } from './answer';
import { client, follow, pause } from './client';
import {
  ConversationDocument,
  ConversationsDocument,
  InboxDocument,
  MarkReadDocument,
  MessageDeleteDocument,
  MessageEditDocument,
  MessageSendDocument,
  OlderDocument,
  OpenDirectDocument,
  PresenceDocument,
  ReactionAddDocument,
  ReactionRemoveDocument,
  TypingDocument,
  TypingSetDocument,
  type ConversationRowFragment,
  type ConversationsQuery,
  type PersonFragment,
  type PresenceSubscription,
} from './gen/graphql';
import { Inbox, prepend, reopen, unread, type Message } from './inbox';
import { Outbox } from './outbox';
import { Store } from './store';

export type Presence = PresenceSubscription['presence'][number];

/** Messages that a conversation is opened with, at least. */
const PAGE = 40;
/** As many as the server tells of on one feed. */
const MAX_PRESENT = 500;

export class Chat {
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  /** How far the list of conversations is. */
  readonly list = new Store<'loading' | 'there' | 'refused'>('loading');
  readonly presence = new Store<ReadonlyMap<string, Presence>>(new Map());
  /** Who types in the conversation that is open. */
  readonly typing = new Store<readonly string[]>([]);
  #closed = false;
  #unfollow = () => {};
  #unfollowPresence = () => {};
  #present = '';
  readonly #marked = new Map<string, number>();
  readonly #loading = new Set<string>();

  constructor(readonly me: PersonFragment) {
    this.inbox = new Inbox(me.id);
    this.outbox = new Outbox(this.inbox, (message) => this.#send(message), pause, localStorage);
    this.inbox.talks.watch(() => this.#changed());
    void this.#begin();
  }

  close() {
    this.#closed = true;
    this.#unfollow();
    this.#unfollowPresence();
    this.outbox.close();
  }

  /** Snapshot, then feed. It begins anew where the feed cannot go on at all, as after a restore of an older database. */
  async #begin() {
    const rows = await this.#insist(fetchAll).catch(() => null);
    if (this.#closed) return;
    if (!rows) return this.list.set('refused');
    this.inbox.reset(rows);
    this.list.set('there');
    this.#unfollow = follow(
      InboxDocument,
      () => ({ positions: this.inbox.positions() }),
      ({ inboxEvents }) => this.inbox.take(inboxEvents),
      () => void pause().then(() => this.#begin()),
    );
  }

  /** Asks until the server has answered. */
  async #insist<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (error instanceof Refused || this.#closed) throw error;
        await pause();
      }
    }
  }

  #changed() {
    const talks = [...this.inbox.talks.get().values()];
    for (const talk of talks) if (talk.stale) void this.load(talk.id).catch(() => {});
    const people = new Set(talks.flatMap(({ partner, people }) => [...(partner ? [partner.id] : []), ...(people?.keys() ?? [])]));
    const memberIds = [...people].sort().slice(0, MAX_PRESENT);
    if (this.#closed || this.#present === memberIds.join()) return;
    this.#present = memberIds.join();
    this.#unfollowPresence();
    if (memberIds.length === 0) return;
    const take = ({ presence }: PresenceSubscription) =>
      this.presence.set(new Map([...this.presence.get(), ...presence.map((one) => [one.memberId, one] as const)]));
    this.#unfollowPresence = follow(PresenceDocument, () => ({ memberIds }), take);
  }

  /** Fetches a conversation with its people and its newest messages. Throws when it cannot be had. */
  async load(id: string) {
    if (this.#loading.has(id)) return;
    this.#loading.add(id);
    try {
      const talk = this.inbox.talks.get().get(id);
      const first = Math.min(Math.max(PAGE, talk ? unread(talk) + 10 : 0), 100);
      const ask = () =>
        client
          .query(ConversationDocument, { id, first })
          .toPromise()
          .then((answer) => dataOf(answer).conversation);
      while (!(await this.inbox.join(id, this.#insist(ask), reopen)));
      if (!this.inbox.talks.get().has(id)) throw new Refused('There is no such conversation, or you are not in it.');
    } finally {
      this.#loading.delete(id);
    }
  }

  /** Fetches messages before those that are shown. */
  async loadOlder(id: string) {
    const after = this.inbox.talks.get().get(id)?.older;
    if (!after) return;
    const page = client
      .query(OlderDocument, { id, after })
      .toPromise()
      .then((answer) => dataOf(answer).conversation?.messages);
    await this.inbox.join(id, page, (talk, page) => (talk?.older === after ? prepend(talk, page) : talk));
  }

  /** Follows who types in a conversation; what it returns stops that. */
  watchTyping(conversationId: string): () => void {
    const stop = follow(
      TypingDocument,
      () => ({ conversationId }),
      ({ typing }) => this.typing.set(typing.memberIds),
    );
    return () => {
      stop();
      this.typing.set([]);
    };
  }

  async #send({ conversationId, body, clientId }: { conversationId: string; body: string; clientId: string }): Promise<number> {
    const result = await client.mutation(MessageSendDocument, { input: { conversationId, body, clientId } });
    const { message } = payloadOf(result, (data) => data.messageSend);
    if (!message) throw new Refused('The message was not stored.');
    return message.seq;
  }

  async edit({ id }: Message, body: string) {
    payloadOf(await client.mutation(MessageEditDocument, { id, body }), (data) => data.messageEdit);
  }

  async delete({ id }: Message) {
    payloadOf(await client.mutation(MessageDeleteDocument, { id }), (data) => data.messageDelete);
  }

  async react({ id, reactions }: Message, emoji: string) {
    const input = { messageId: id, emoji };
    if (reactions.some((group) => group.emoji === emoji && group.reactedByMe))
      payloadOf(await client.mutation(ReactionRemoveDocument, { input }), (data) => data.reactionRemove);
    else payloadOf(await client.mutation(ReactionAddDocument, { input }), (data) => data.reactionAdd);
  }

  /** Says that everything up to this number was read; once, unless it fails. */
  async markRead(conversationId: string, upTo: number) {
    if ((this.#marked.get(conversationId) ?? 0) >= upTo) return;
    this.#marked.set(conversationId, upTo);
    const { error } = await client.mutation(MarkReadDocument, { conversationId, upTo });
    if (error) this.#marked.delete(conversationId);
    else this.inbox.read(conversationId, upTo);
  }

  /** Opens the conversation with a member, be it that there is one already; answers its id. */
  async openDirect(memberId: string): Promise<string> {
    const payload = payloadOf(
      await client.mutation(OpenDirectDocument, { memberIds: [memberId] }),
      (data) => data.conversationCreate,
    );
    if (!payload.conversation) throw new Refused('The conversation could not be opened.');
    return payload.conversation.id;
  }

  /** Whether one types, which nobody has to know for sure. */
  async tellTyping(conversationId: string, typing: boolean) {
    await client.mutation(TypingSetDocument, { conversationId, typing });
  }
}

async function fetchAll(): Promise<ConversationRowFragment[]> {
  const rows: ConversationRowFragment[] = [];
  for (let after: string | null = null; ;) {
    const { conversations }: ConversationsQuery = dataOf(await client.query(ConversationsDocument, { after }));
    rows.push(...(conversations?.nodes ?? []));
    if (!conversations?.pageInfo.hasNextPage) return rows;
    after = conversations.pageInfo.endCursor;
  }
}
