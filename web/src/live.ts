// Running subscriptions. GraphiQL ends a subscription when another of its tabs is opened; here it goes on, so that
// one can subscribe in one tab and send in the next. Invariant: a feed ends when it is stopped, completes, fails for
// good or its tab is closed, and what it keeps is bounded.

import type { Observable } from '@graphiql/toolkit';
import { createClient } from 'graphql-ws';
import type { ExecutionResult } from 'graphql';
import { useSyncExternalStore } from 'react';
import { ENDPOINT, type Params } from './http';
import { freshToken, onSession } from './session';

export interface LiveEvent {
  number: number;
  at: Date;
  result: unknown;
}

export type FeedState = 'connecting' | 'live' | 'reconnecting' | 'ended';

/** What the panel shows of a feed: replaced, not changed. */
export interface Feed {
  id: number;
  title: string;
  state: FeedState;
  /** Why it ended or is not connected; empty when there is nothing to say. */
  note: string;
  count: number;
  /** Newest first. */
  events: LiveEvent[];
}

interface Running {
  tab: string | undefined;
  /** Leaves GraphiQL's answer pane alone from now on. */
  detach(): void;
  stop(): void;
}

/** Events kept of a feed, and feeds kept. */
const MAX_EVENTS = 200;
const MAX_FEEDS = 20;

let feeds: readonly Feed[] = [];
let nextId = 1;
let activeTab: string | undefined;
const running = new Map<number, Running>();
const listeners = new Set<() => void>();

function publish(next: readonly Feed[]) {
  feeds = next;
  for (const listener of listeners) listener();
}

function update(id: number, change: (feed: Feed) => Partial<Feed>) {
  publish(feeds.map((feed) => (feed.id === id ? { ...feed, ...change(feed) } : feed)));
}

export function useFeeds(): readonly Feed[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => feeds,
  );
}

export function stopFeed(id: number) {
  running.get(id)?.stop();
}

export function removeFeed(id: number) {
  stopFeed(id);
  publish(feeds.filter((feed) => feed.id !== id));
}

/** To be told of every change of GraphiQL's tabs. */
export function tabsChanged(tabs: { tabs: { id: string }[]; activeTabIndex: number }) {
  activeTab = tabs.tabs[tabs.activeTabIndex]?.id;
  for (const feed of running.values()) {
    if (!tabs.tabs.some((tab) => tab.id === feed.tab)) feed.stop();
    else if (feed.tab !== activeTab) feed.detach();
  }
}

/** GraphiQL's answer pane, as it shows a subscription. */
interface View {
  next(value: unknown): void;
  complete(): void;
}

/** Starts a subscription; what it returns is GraphiQL's view of it. */
export function startFeed(params: Params, authorization?: string): Observable<ExecutionResult> {
  return {
    subscribe(observer) {
      const view = observer as unknown as View;
      const tab = activeTab;
      for (const feed of [...running.values()]) if (feed.tab === tab) feed.stop();
      const stop = open(params, authorization, tab, view);
      // GraphiQL unsubscribes both to stop and to show another tab; which one it was, tabsChanged has learned when
      // this call stack is done.
      return { unsubscribe: () => queueMicrotask(() => activeTab === tab && stop()) };
    },
  } as Observable<ExecutionResult>;
}

function open(params: Params, authorization: string | undefined, tab: string | undefined, view: View): () => void {
  const id = nextId++;
  let attached = true;
  let opened = false;
  let socket: WebSocket | undefined;
  const detach = () => {
    if (attached) view.complete();
    attached = false;
  };
  const end = (note: string) => {
    detach();
    if (!running.delete(id)) return;
    forget();
    update(id, () => ({ state: 'ended', note }));
    void client.dispose();
  };
  const stop = () => end('');

  const client = createClient({
    url: ENDPOINT.replace(/^http/, 'ws'),
    connectionParams: async () => {
      const token = await freshToken();
      const value = authorization ?? (token && `Bearer ${token}`);
      return value ? { authorization: value } : {};
    },
    retryAttempts: Infinity,
    shouldRetry: () => true,
    retryWait: (retries) =>
      new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** retries, 15_000) * (0.5 + Math.random()))),
    on: {
      connected: (connected) => {
        socket = connected as WebSocket;
        opened = true;
        update(id, () => ({ state: 'live', note: '' }));
      },
      closed: (event) => {
        socket = undefined;
        if (!running.has(id)) return;
        update(id, () => ({ state: 'reconnecting', note: closing(event) }));
        if (attached && !opened) view.next({ errors: [{ message: `${closing(event)} Trying again…` }] });
      },
    },
  });
  // A new token is told to the open socket, which otherwise would be closed at the end of the old one.
  const forget = onSession(() => {
    if (authorization !== undefined || socket?.readyState !== WebSocket.OPEN) return;
    const tell = (token: string | null) => {
      if (token) socket?.send(JSON.stringify({ type: 'ping', payload: { authorization: `Bearer ${token}` } }));
      else end('You have signed out.');
    };
    // Not reachable: then the socket is about to break as well, and comes back with what is right by then.
    void freshToken().then(tell, () => {});
  });
  running.set(id, { tab, stop, detach });
  const feed: Feed = { id, title: params.operationName ?? 'Subscription', state: 'connecting', note: '', count: 0, events: [] };
  publish([feed, ...feeds.filter((old, index) => index < MAX_FEEDS - 1 || running.has(old.id))]);

  const take = (result: unknown) => {
    if (attached) view.next(result);
    update(id, ({ count, events }) => ({
      count: count + 1,
      events: [{ number: count + 1, at: new Date(), result }, ...events].slice(0, MAX_EVENTS),
    }));
  };
  // graphql-ws sends this very object again when it comes back: with the last cursor, where the operation has a place
  // for it, nothing is missed in between.
  const payload = { ...params, variables: { ...(params.variables as Record<string, unknown> | undefined) } };
  const resumes = /\$after\b/.test(params.query);
  client.subscribe(payload as { query: string }, {
    next: (result) => {
      const event = Object.values(result.data ?? {})[0] as { cursor?: unknown } | null | undefined;
      if (resumes && typeof event?.cursor === 'string') payload.variables.after = event.cursor;
      take(result);
    },
    error: (error) => {
      if (!running.has(id)) return;
      const { result, note } = wording(error);
      take(result);
      end(note);
    },
    complete: () => end('The server has completed it.'),
  });
  return stop;
}

/** A failure as something to read: GraphQL errors as they came, a closed socket in words. */
function wording(error: unknown): { result: unknown; note: string } {
  if (Array.isArray(error)) return { result: { errors: error }, note: 'The server has refused it.' };
  const note = error instanceof Error ? error.message : closing(error);
  return { result: { errors: [{ message: note }] }, note };
}

function closing(event: unknown): string {
  if (!(event instanceof CloseEvent)) return 'The connection failed.';
  return event.code === 1006 ? 'The connection broke.' : `The server closed the socket: ${event.code} ${event.reason}`.trimEnd();
}
