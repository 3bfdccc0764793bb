// What was written and is not in the conversation yet. Messages are sent one after the other, in the order in which they
// were written, and again under the same client id until the server has answered: it stores each once. They are kept in
// localStorage, so that closing the page loses none.

import { Refused } from './answer';
import type { Inbox, Talk } from './inbox';
import { Store } from './store';

export interface Unsent {
  clientId: string;
  conversationId: string;
  body: string;
  writtenAt: number;
  /** Why the server refused it; null: it is on its way. */
  refusal: string | null;
  /** Its number, once the server has stored it; the feed brings it soon. */
  seq: number | null;
}

export class Outbox {
  readonly messages: Store<readonly Unsent[]>;
  #running = false;
  #closed = false;

  /** `send` answers the message's number, or throws: `Refused`, or anything else when nobody knows. */
  constructor(
    readonly inbox: Inbox,
    readonly send: (message: Unsent) => Promise<number>,
    readonly pause: () => Promise<void>,
    readonly storage: Storage,
  ) {
    // A key for each message, so that two tabs do not overwrite each other. That both send it is harmless.
    const keys = Object.keys(storage).filter((key) => key.startsWith(this.#prefix));
    const kept = keys.map((key) => JSON.parse(storage.getItem(key)!) as Unsent);
    this.messages = new Store<readonly Unsent[]>(kept.sort((one, other) => one.writtenAt - other.writtenAt));
    inbox.talks.watch(() => this.#settle());
    void this.#run();
  }

  get #prefix() {
    return `stoa-chat:${this.inbox.me}:`;
  }

  write(conversationId: string, body: string) {
    const clientId = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join(
      '',
    );
    const message = { clientId, conversationId, body, writtenAt: Date.now(), refusal: null, seq: null };
    this.messages.set([...this.messages.get(), message]);
    this.#keep(message);
    void this.#run();
  }

  retry(message: Unsent) {
    this.#keep({ ...message, refusal: null });
    void this.#run();
  }

  discard({ clientId }: Unsent) {
    this.storage.removeItem(this.#prefix + clientId);
    this.messages.set(this.messages.get().filter((message) => message.clientId !== clientId));
  }

  close() {
    this.#closed = true;
  }

  /** A message as it became; one that was let go of meanwhile stays away. */
  #keep(message: Unsent) {
    const all = this.messages.get();
    const place = all.findIndex(({ clientId }) => clientId === message.clientId);
    if (place < 0) return;
    const key = this.#prefix + message.clientId;
    if (message.seq === null) this.storage.setItem(key, JSON.stringify(message));
    else this.storage.removeItem(key);
    this.messages.set(all.with(place, message));
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    for (;;) {
      const next = this.messages.get().find(({ refusal, seq }) => refusal === null && seq === null);
      if (!next || this.#closed) break;
      try {
        this.#keep({ ...next, seq: await this.send(next) });
      } catch (error) {
        if (error instanceof Refused) this.#keep({ ...next, refusal: error.message });
        else await this.pause();
      }
      this.#settle();
    }
    this.#running = false;
  }

  /** Lets go of what the conversation shows by now, be it that the feed was quicker than the answer. */
  #settle() {
    for (const message of this.messages.get()) {
      const talk = this.inbox.talks.get().get(message.conversationId);
      if (talk && shows(talk, message, this.inbox.me)) this.discard(message);
    }
  }
}

function shows(talk: Talk, { clientId, seq }: Unsent, me: string): boolean {
  if (seq !== null) return talk.lastSeq >= seq;
  return talk.messages.some((message) => message.clientId === clientId && message.senderId === me);
}
