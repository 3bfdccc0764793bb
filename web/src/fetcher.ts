// What GraphiQL runs an operation with: HTTP for queries and mutations, a feed over WebSocket for subscriptions.
// A header written in the editor wins over the session.

import type { Fetcher } from '@graphiql/toolkit';
import { getOperationAST, parse } from 'graphql';
import { post, type Params } from './http';
import { startFeed } from './live';
import { freshToken } from './session';

export const fetcher: Fetcher = async (params, options) => {
  const headers = written(options?.headers);
  if (isSubscription(params)) return startFeed(params, headers.authorization);
  return run(params, headers);
};

/** Runs a query or a mutation as who is signed in, once more with a new token when the server refuses the old one. */
export async function run(params: Params, headers: Record<string, string> = {}) {
  if (headers.authorization !== undefined) return (await post(params, headers)).result;
  const token = await freshToken();
  const reply = await post(params, bearer(token, headers));
  if (reply.status !== 401 || !token) return reply.result;
  return (await post(params, bearer(await freshToken(token), headers))).result;
}

function bearer(token: string | null, headers: Record<string, string>) {
  return token ? { ...headers, authorization: `Bearer ${token}` } : headers;
}

/** The headers of the editor: names in lower case, values as text. */
function written(headers: Record<string, unknown> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]));
}

function isSubscription({ query, operationName }: Params): boolean {
  try {
    return getOperationAST(parse(query), operationName)?.operation === 'subscription';
  } catch {
    // Not a document: the server says why.
    return false;
  }
}
