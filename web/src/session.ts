// Who is signed in. The tokens are in localStorage, so that every tab of this browser is the same session and stays so
// after a reload: subscribing in one tab and sending in another is what the explorer is for. sessionStorage would not
// be safer (a duplicated tab copies it, and its second use of the refresh token then revokes the session); script from
// elsewhere is kept out by the page's Content-Security-Policy, and the page is off in production.
// Invariant: a refresh token is used once, whatever number of tabs is open.

import { useSyncExternalStore } from 'react';
import { post } from './http';

export interface Session {
  email: string;
  accessToken: string;
  refreshToken: string;
  /** When the access token ends. */
  expiresAt: string;
}

type Tokens = Omit<Session, 'email'>;

interface UserError {
  message: string;
}

interface Payload {
  session?: (Tokens & { deviceToken?: string | null }) | null;
  twoFactor?: { challenge: string } | null;
  userErrors?: UserError[];
}

const KEY = 'stoa:session';
/** How long before its end a token is replaced, in milliseconds. */
const EARLY = 60_000;

const LOGIN = `mutation Login($input: LoginInput!) {
  login(input: $input) {
    session { accessToken refreshToken expiresAt deviceToken } twoFactor { challenge } userErrors { field message code }
  }
}`;
const COMPLETE = `mutation LoginComplete($input: LoginCompleteInput!) {
  loginComplete(input: $input) {
    session { accessToken refreshToken expiresAt deviceToken } userErrors { field message code }
  }
}`;
const REFRESH = `mutation Refresh($input: SessionRefreshInput!) {
  sessionRefresh(input: $input) { session { accessToken refreshToken expiresAt } userErrors { field message code } }
}`;
const LOGOUT = 'mutation Logout { logout { userErrors { message } } }';

const listeners = new Set<() => void>();
let raw: string | null = null;
let session: Session | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;

/** The session as it is now, in whichever tab it was last changed. */
export function currentSession(): Session | null {
  const stored = localStorage.getItem(KEY);
  if (stored !== raw) {
    raw = stored;
    session = parse(stored);
  }
  return session;
}

function parse(stored: string | null): Session | null {
  try {
    const value = stored && JSON.parse(stored);
    const whole = ['email', 'accessToken', 'refreshToken', 'expiresAt'].every((key) => typeof value?.[key] === 'string');
    return whole ? value : null;
  } catch {
    return null;
  }
}

function store(next: Session | null) {
  if (next) localStorage.setItem(KEY, JSON.stringify(next));
  else localStorage.removeItem(KEY);
  changed();
}

function changed() {
  clearTimeout(timer);
  const expires = Date.parse(currentSession()?.expiresAt ?? '');
  // Not more often than every five seconds, should the clocks of server and browser disagree.
  if (expires) timer = setTimeout(() => void freshToken().catch(() => {}), Math.max(expires - EARLY - Date.now(), 5000));
  for (const listener of listeners) listener();
}

addEventListener('storage', (event) => {
  if (event.key === KEY || event.key === null) changed();
});
changed();

/** Calls back whenever somebody signs in or out or tokens are replaced, in any tab. */
export function onSession(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useSession = () => useSyncExternalStore(onSession, currentSession);

/** What tells this browser from one that the person has never signed in from, where that is stored. */
const device = (email: string) => `stoa:device:${email.toLowerCase()}`;

/** `email`: who signs in. */
async function ask(query: string, field: string, variables: object, email?: string): Promise<Tokens> {
  const known = email && localStorage.getItem(device(email));
  const { result } = await post({ query, variables }, known ? { 'stoa-device': known } : {});
  const payload = result.data?.[field] as Payload | null | undefined;
  if (payload?.session) {
    const { deviceToken, ...tokens } = payload.session;
    if (email && deviceToken) localStorage.setItem(device(email), deviceToken);
    return tokens;
  }
  if (payload?.twoFactor) throw new CodeWanted(payload.twoFactor.challenge);
  throw new Refused(payload?.userErrors?.[0]?.message ?? result.errors?.[0]?.message ?? 'The server refused without a reason.');
}

/** The server has answered, and said no. */
class Refused extends Error {}

/** The password was right; what is missing is a code for this challenge. */
export class CodeWanted extends Error {
  constructor(readonly challenge: string) {
    super('A code is needed as well.');
  }
}

/** Throws `CodeWanted` where `completeSignIn` has to follow. */
export async function signIn(email: string, password: string, organization?: string) {
  const input = { email, password, ...(organization && { organization }) };
  store({ email, ...(await ask(LOGIN, 'login', { input }, email)) });
}

export async function completeSignIn(email: string, challenge: string, code: string, organization?: string) {
  const input = { challenge, code, ...(organization && { organization }) };
  store({ email, ...(await ask(COMPLETE, 'loginComplete', { input }, email)) });
}

/** Ends the session here whatever the server says, and there if it answers. */
export async function signOut() {
  const token = currentSession()?.accessToken;
  store(null);
  if (token) await post({ query: LOGOUT }, { authorization: `Bearer ${token}` }).catch(() => {});
}

/**
 * An access token that is good for another while; null when nobody is signed in. `refused` is a token that the server
 * did not take: it is replaced whatever its end.
 */
export async function freshToken(refused?: string): Promise<string | null> {
  const good = () => {
    const now = currentSession();
    const fresh = !now || (now.accessToken !== refused && Date.parse(now.expiresAt) - EARLY > Date.now());
    return fresh ? { token: now?.accessToken ?? null } : undefined;
  };
  return (good() ?? (await locked(async () => good() ?? { token: await replaceTokens() }))).token;
}

async function replaceTokens(): Promise<string | null> {
  const old = currentSession();
  if (!old) return null;
  try {
    const tokens = await ask(REFRESH, 'sessionRefresh', { input: { refreshToken: old.refreshToken } });
    if (currentSession()?.refreshToken !== old.refreshToken) return currentSession()?.accessToken ?? null;
    store({ email: old.email, ...tokens });
    return tokens.accessToken;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    store(null);
    return null;
  }
}

/** One refresh at a time over all tabs; over this one where the browser has no locks (plain HTTP to another host). */
function locked<T>(work: () => Promise<T>): Promise<T> {
  if (navigator.locks) return navigator.locks.request(KEY, work) as Promise<T>;
  const run = tail.then(work, work);
  tail = run.catch(() => {});
  return run;
}
let tail: Promise<unknown> = Promise.resolve();
