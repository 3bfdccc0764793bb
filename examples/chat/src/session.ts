// Who is signed in. The access token is in memory and ends soon; what renews it is in a cookie that no script can read
// (`Stoa-Session: cookie`), so that a reload goes on with the session and foreign script finds nothing worth stealing.
// Invariant: a token is shown together with the member whom it speaks for, also when another tab signs in as somebody else.

import { Client, fetchExchange } from 'urql';
import { dataOf, payloadOf, Refused } from './answer';
import {
  LoginCompleteDocument,
  LoginDocument,
  LogoutDocument,
  SessionRefreshDocument,
  ViewerDocument,
  type PersonFragment,
} from './gen/graphql';
import { Store } from './store';

export const ENDPOINT = '/graphql';

export interface Session {
  me: PersonFragment;
  organization: string;
  token: string;
  /** When the token ends, in milliseconds since 1970. */
  ends: number;
}

/** Null: nobody is signed in; undefined: not known yet. */
export const session = new Store<Session | null | undefined>(undefined);

/** How long before its end a token is replaced, in milliseconds. */
const EARLY = 60_000;

/** For what is asked without being signed in. */
const door = new Client({
  url: ENDPOINT,
  exchanges: [fetchExchange],
  preferGetMethod: false,
  fetchOptions: { headers: { 'stoa-session': 'cookie' } },
});

const bearer = (token: string) => ({ fetchOptions: { headers: { 'stoa-session': 'cookie', authorization: `Bearer ${token}` } } });

let timer: ReturnType<typeof setTimeout> | undefined;

async function enter(tokens: { accessToken: string; expiresAt: string }): Promise<string> {
  const { viewer } = dataOf(await door.query(ViewerDocument, {}, bearer(tokens.accessToken)));
  if (!viewer?.member) throw new Refused('You are no member here.');
  const ends = Date.parse(tokens.expiresAt);
  session.set({ me: viewer.member, organization: viewer.organization.name, token: tokens.accessToken, ends });
  clearTimeout(timer);
  // Not more often than every five seconds, should the clocks of server and browser disagree.
  timer = setTimeout(() => void freshToken().catch(() => {}), Math.max(ends - EARLY - Date.now(), 5000));
  return tokens.accessToken;
}

/** A code of the person's authenticator is needed as well. */
export class CodeWanted extends Error {
  constructor(readonly challenge: string) {
    super('A code is needed as well.');
  }
}

/** Throws `CodeWanted` where `completeSignIn` has to follow. */
export async function signIn(email: string, password: string) {
  const result = await door.mutation(LoginDocument, { input: { email, password } });
  const challenge = result.data?.login?.twoFactor?.challenge;
  if (challenge) throw new CodeWanted(challenge);
  const { session } = payloadOf(result, (data) => data.login);
  if (session) await enter(session);
}

export async function completeSignIn(challenge: string, code: string) {
  const result = await door.mutation(LoginCompleteDocument, { input: { challenge, code } });
  const { session } = payloadOf(result, (data) => data.loginComplete);
  if (session) await enter(session);
}

/** Ends the session here whatever the server says, and there if it answers. */
export async function signOut() {
  const token = session.get()?.token;
  clearTimeout(timer);
  session.set(null);
  if (token) await door.mutation(LogoutDocument, {}, bearer(token));
}

let renewing: Promise<string | null> | undefined;

/**
 * An access token that is good for another while; null when nobody is signed in. `refused` is a token that the server did
 * not take: it is replaced whatever its end. Throws when the server does not answer.
 */
export async function freshToken(refused?: string | null): Promise<string | null> {
  const now = session.get();
  if (now === null) return null;
  if (now && now.token !== refused && now.ends - EARLY > Date.now()) return now.token;
  return (renewing ??= renew().finally(() => (renewing = undefined)));
}

async function renew(): Promise<string | null> {
  const before = session.get();
  const result = await door.mutation(SessionRefreshDocument, {});
  if (session.get() !== before) return session.get()?.token ?? null; // signed in or out meanwhile
  try {
    const { session: tokens } = payloadOf(result, (data) => data.sessionRefresh);
    if (tokens) return await enter(tokens);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
  session.set(null);
  return null;
}
