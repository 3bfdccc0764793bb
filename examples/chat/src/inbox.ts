// All conversations of a member as the page knows them, and how events change them. No network and no React here.
//
// Three rules keep this right, whatever is lost on the way:
//  1. A snapshot comes with a cursor. The feed goes on from there, so that nothing falls between the two.
//  2. An event may tell what is known already. It is applied so that twice is as good as once: a message by its `version`
//     or its number, a count as it is told, a position only forwards.
//  3. The cursor moves in the same step as what its event changed. Whoever comes back with it misses nothing. Where the
//     server cannot go on from it (`ResyncRequired`), the conversation is fetched anew.

import type {
  ConversationHeadFragment,
  ConversationQuery,
  ConversationRowFragment,
  InboxSubscription,
  MessageRowFragment,
  MessageTextFragment,
  PageFragment,
  PersonFragment,
} from './gen/graphql';
import { Store } from './store';

export type Message = MessageRowFragment;
export type Person = PersonFragment & { readUpTo: number };
export type InboxEvent = InboxSubscription['inboxEvents'];
export type ConversationEvent = Extract<InboxEvent, { __typename: 'ConversationHappened' }>['event'];
type Opened = NonNullable<ConversationQuery['conversation']>;

export type Talk = Omit<ConversationHeadFragment, 'unreadCount'> & {
  /** The number of the last message that one has read: what is behind it is new. */
  readSeq: number;
  /** Oldest first and without a gap, up to the newest there is. */
  messages: readonly Message[];
  /** Where to page on to older ones; null: there are none. */
  older: string | null;
  /** Who is in it, by id; null: it was not opened yet. */
  people: ReadonlyMap<string, Person> | null;
  /** What is shown has a hole, and has to be fetched anew. */
  stale: boolean;
};

export const unread = (talk: Talk) => talk.lastSeq - talk.readSeq;

export class Inbox {
  readonly talks = new Store<ReadonlyMap<string, Talk>>(new Map());
  /** What was told of a conversation since somebody began to fetch something of it. */
  readonly #journals = new Set<{ id: string; events: ConversationEvent[] }>();

  constructor(readonly me: string) {}

  /** With what the feed is subscribed. Conversations that are not named here are told whole. */
  positions() {
    const whole = [...this.talks.get().values()].filter((talk) => !talk.stale);
    return whole.map(({ id, cursor }) => ({ conversationId: id, after: cursor }));
  }

  /** Begins anew with what was fetched. */
  reset(rows: readonly ConversationRowFragment[]) {
    this.#journals.clear();
    this.talks.set(new Map(rows.map((row) => [row.id, talkOf(row)])));
  }

  /** Takes an event of the feed. */
  take(event: InboxEvent) {
    switch (event.__typename) {
      case 'ConversationHappened': {
        const id = event.conversationId;
        if (event.event.__typename === 'ResyncRequired') this.#forget(id);
        for (const journal of this.#journals) if (journal.id === id) journal.events.push(event.event);
        const talk = this.talks.get().get(id);
        if (talk) this.#put(id, apply(talk, event.event, this.me));
        break;
      }
      case 'ConversationEntered': {
        const { id, cursor } = event.conversation;
        const known = this.talks.get().get(id);
        this.#forget(id);
        // One that was fetched before its feed began: what happened in between is in neither.
        this.#put(id, known ? { ...known, cursor, stale: true } : talkOf(event.conversation));
        break;
      }
      case 'ConversationGone':
        this.#put(event.conversationId, undefined);
        break;
      default: // of settings and contacts, which this page does not show, and of whatever Stoa learns to tell
    }
  }

  /** One has read up to this number, as the server has confirmed. */
  read(id: string, upTo: number) {
    const talk = this.talks.get().get(id);
    if (talk) this.#put(id, { ...talk, ...readOn(talk, [{ memberId: this.me, readUpTo: upTo }], this.me) });
  }

  /**
   * Puts an answer into a conversation. What the feed told while it was on its way is applied once more, on top; so it does
   * not matter whether the answer knew of it. False: the feed did not tell all of that time, and the answer is of no use.
   */
  async join<T>(
    id: string,
    answer: Promise<T>,
    merge: (talk: Talk | undefined, answer: T) => Talk | undefined,
  ): Promise<boolean> {
    const journal = { id, events: [] as ConversationEvent[] };
    this.#journals.add(journal);
    try {
      const arrived = await answer;
      if (!this.#journals.has(journal)) return false;
      let talk = merge(this.talks.get().get(id), arrived);
      for (const event of journal.events) talk &&= apply(talk, event, this.me);
      this.#put(id, talk);
      return true;
    } finally {
      this.#journals.delete(journal);
    }
  }

  #put(id: string, talk: Talk | undefined) {
    const talks = new Map(this.talks.get());
    if (talk) talks.set(id, talk);
    else if (talks.delete(id)) this.#forget(id);
    this.talks.set(talks);
  }

  /** Makes the answers that are on their way worthless: the feed of the conversation ends here, or begins. */
  #forget(id: string) {
    for (const journal of this.#journals) if (journal.id === id) this.#journals.delete(journal);
  }
}

/** A snapshot of a conversation. */
export function talkOf({ unreadCount, ...row }: ConversationRowFragment | Opened): Talk {
  const { messages: page, ...head } = row;
  const messages = page?.nodes.toReversed() ?? [];
  const people = 'participants' in row ? new Map(row.participants?.nodes.flatMap(seat)) : null;
  return {
    ...head,
    // What is below the conversation may be newer than itself.
    lastSeq: Math.max(head.lastSeq, messages.at(-1)?.seq ?? 0),
    readSeq: head.lastSeq - (unreadCount ?? 0),
    messages,
    older: older(page),
    people,
    stale: false,
  };
}

/** The conversation as it was opened, at the place where the feed is. */
export function reopen(talk: Talk | undefined, opened: Opened | null): Talk | undefined {
  return opened ? { ...talkOf(opened), ...(talk && { cursor: talk.cursor }) } : undefined;
}

/** With an older page before its messages. */
export function prepend(talk: Talk | undefined, page: PageFragment | null | undefined): Talk | undefined {
  const first = talk?.messages[0]?.seq ?? Infinity;
  const before = page?.nodes.filter((message) => message.seq < first).toReversed() ?? [];
  return talk && { ...talk, messages: [...before, ...talk.messages], older: older(page) };
}

/** The conversation after an event; undefined: one is not in it any more. */
export function apply(talk: Talk, event: ConversationEvent, me: string): Talk | undefined {
  const moved = { ...talk, cursor: event.cursor };
  switch (event.__typename) {
    case 'MessageSent': {
      const { message } = event;
      if (message.seq <= talk.lastSeq) return { ...moved, messages: renew(talk.messages, message) };
      return {
        ...moved,
        lastSeq: message.seq,
        messages: [...talk.messages, { ...message, reactions: [] }],
        ...readOn(talk, [{ memberId: message.senderId, readUpTo: message.seq }], me),
      };
    }
    case 'MessageEdited':
    case 'MessageDeleted':
      return { ...moved, messages: renew(talk.messages, event.message) };
    case 'ReactionAdded':
    case 'ReactionRemoved':
      return { ...moved, messages: react(talk.messages, event.reaction, event.__typename === 'ReactionAdded', me) };
    case 'ReceiptsMoved':
      return { ...moved, ...readOn(talk, event.receipts, me) };
    case 'ConversationUpdated':
      return event.conversation.version > talk.version ? { ...moved, ...event.conversation } : moved;
    case 'ParticipantAdded':
      return { ...moved, people: talk.people && new Map([...talk.people, ...seat(event.participant)]) };
    case 'ParticipantRemoved': {
      const { memberId } = event.participant;
      if (memberId === me) return undefined;
      return { ...moved, people: talk.people && new Map([...talk.people].filter(([id]) => id !== memberId)) };
    }
    case 'ResyncRequired':
      return { ...moved, stale: true };
    default: // what this page does not show, and whatever Stoa learns to tell
      return moved;
  }
}

const older = (page: PageFragment | null | undefined) => (page?.pageInfo.hasNextPage ? page.pageInfo.endCursor : null);

/** Empty for whom one may not see. */
function seat({ memberId, member, lastReadSeq }: { memberId: string; member: PersonFragment | null; lastReadSeq: number }) {
  return member ? [[memberId, { ...member, readUpTo: lastReadSeq }] as const] : [];
}

/** With a message as it became, if that is news. */
function renew(messages: readonly Message[], message: MessageTextFragment): readonly Message[] {
  const reactions = message.deletedAt ? { reactions: [] } : {};
  return messages.map((old) =>
    old.id === message.id && message.version > old.version ? { ...old, ...message, ...reactions } : old,
  );
}

interface Reaction {
  messageId: string;
  memberId: string;
  emoji: string;
  count: number;
}

function react(messages: readonly Message[], { messageId, memberId, emoji, count }: Reaction, added: boolean, me: string) {
  return messages.map((message) => {
    if (message.id !== messageId || message.deletedAt) return message;
    const old = message.reactions.find((group) => group.emoji === emoji);
    const group = { emoji, count, reactedByMe: memberId === me ? added : (old?.reactedByMe ?? false) };
    const reactions = old ? message.reactions.map((one) => (one === old ? group : one)) : [...message.reactions, group];
    return { ...message, reactions: reactions.filter((one) => one.count > 0) };
  });
}

function readOn(
  talk: Talk,
  positions: readonly { memberId: string; readUpTo: number }[],
  me: string,
): Pick<Talk, 'readSeq' | 'people'> {
  let { readSeq, people } = talk;
  for (const { memberId, readUpTo } of positions) {
    if (memberId === me) readSeq = Math.max(readSeq, readUpTo);
    const person = people?.get(memberId);
    if (people && person && readUpTo > person.readUpTo) people = new Map([...people, [memberId, { ...person, readUpTo }]]);
  }
  return { readSeq, people };
}
