// How the page talks to Stoa: queries and mutations over HTTP, feeds over one WebSocket (graphql-transport-ws).
// Invariant: a feed goes on until it is stopped or refused; whenever it breaks it is subscribed anew, with the variables
// as they are by then. There is no cache: what is shown is what the feeds have told (inbox.ts).

import { createClient } from 'graphql-ws';
import { Client, fetchExchange, subscriptionExchange, type AnyVariables, type TypedDocumentNode } from 'urql';
import { fault, Refused } from './answer';
import { ENDPOINT, freshToken, session } from './session';
import { Store } from './store';

export type Connection = 'connecting' | 'live' | 'reconnecting';
export const connection = new Store<Connection>('connecting');

/** Sends a request as who is signed in, once more with a new token when the server refuses the old one. */
async function authorized(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
  const send = (token: string | null) => {
    if (!token) throw new Error('Nobody is signed in.');
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${token}`);
    return fetch(input, { ...init, headers });
  };
  const token = await freshToken();
  const answer = await send(token);
  return answer.status === 401 ? send(await freshToken(token)) : answer;
}

let open: WebSocket | undefined;
/** The token that the open socket was told of, and one with which it was refused (4403). */
let told: string | null = null;
let refused: string | null = null;
let silence: ReturnType<typeof setTimeout> | undefined;
let openedAt = Infinity;

const socket = createClient({
  url: new URL(ENDPOINT, location.href.replace(/^http/, 'ws')).href,
  connectionParams: async () => {
    told = await freshToken(refused);
    return told ? { authorization: `Bearer ${told}` } : {};
  },
  retryAttempts: 0, // `follow` comes back, with new variables
  keepAlive: 10_000,
  on: {
    connected: (connected) => {
      open = connected as WebSocket;
      openedAt = Date.now();
      refused = null;
      connection.set('live');
    },
    // A network that has gone says nothing: who does not answer a ping is gone.
    ping: (received) => {
      if (!received) silence = setTimeout(() => socket.terminate(), 5000);
    },
    pong: (received) => {
      if (received) clearTimeout(silence);
    },
    closed: (event) => {
      clearTimeout(silence);
      open = undefined;
      if (Date.now() - openedAt > 5000) failures = 0;
      openedAt = Infinity;
      if ((event as CloseEvent).code === 4403) refused = told;
      if (session.get()) connection.set('reconnecting');
    },
  },
});

// A new token is told to the open socket, which would be closed at the end of the old one.
session.watch(() => {
  const token = session.get()?.token ?? null;
  if (!token) connection.set('connecting');
  else if (token !== told && open?.readyState === WebSocket.OPEN) {
    told = token;
    open.send(JSON.stringify({ type: 'ping', payload: { authorization: `Bearer ${token}` } }));
  }
});

export const client = new Client({
  url: ENDPOINT,
  fetch: authorized,
  preferGetMethod: false,
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query = '', variables }) => ({
        subscribe: (sink) => ({
          unsubscribe: socket.subscribe({ query, variables: variables as Record<string, unknown> }, sink),
        }),
      }),
    }),
  ],
});

let failures = 0;
let pausing: Promise<void> | undefined;

/** One pause for all who try again: longer each time, and over at once when the browser comes online. */
export function pause(): Promise<void> {
  return (pausing ??= new Promise<void>((resolve) => {
    const end = () => {
      removeEventListener('online', end);
      clearTimeout(timer);
      pausing = undefined;
      resolve();
    };
    const timer = setTimeout(end, Math.min(500 * 2 ** failures++, 10_000) * (0.5 + Math.random()));
    addEventListener('online', end);
  }));
}

/**
 * Follows a feed; what it returns stops that. `refuse` hears why the server will not have it, which ends it; without it,
 * a feed that is refused is tried again.
 */
export function follow<D, V extends AnyVariables>(
  document: TypedDocumentNode<D, V>,
  variables: () => V,
  take: (data: D) => void,
  refuse?: (reason: Refused) => void,
): () => void {
  let stopped = false;
  let unsubscribe = () => {};
  const begin = () => {
    ({ unsubscribe } = client.subscription(document, variables()).subscribe(({ data, error }) => {
      if (stopped) return;
      if (data) take(data);
      if (!error) return;
      unsubscribe();
      const reason = fault(error);
      if (reason instanceof Refused && refuse) refuse(reason);
      else void pause().then(() => stopped || begin());
    }));
  };
  begin();
  return () => {
    stopped = true;
    unsubscribe();
  };
}
