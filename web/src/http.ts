// One GraphQL request over HTTP.

import type { ExecutionResult } from 'graphql';

/** The API answers on the address of the page itself. */
export const ENDPOINT = location.origin + location.pathname;

export interface Params {
  query: string;
  operationName?: string | null | undefined;
  variables?: unknown;
}

export interface Reply {
  status: number;
  result: ExecutionResult;
}

/** Sends a request. Throws, in words for the reader, when no GraphQL answer comes back. */
export async function post(params: Params, headers: Record<string, string> = {}): Promise<Reply> {
  const response = await fetch(ENDPOINT, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json, application/json;q=0.9',
      ...headers,
    },
    body: JSON.stringify(params),
  }).catch(() => {
    throw new Error('The server does not answer.');
  });
  const result = await response.json().catch(() => {
    throw new Error(`The server answered ${response.status} ${response.statusText} and no JSON.`);
  });
  return { status: response.status, result };
}
