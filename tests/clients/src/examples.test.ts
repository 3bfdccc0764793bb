// The examples of the GraphiQL page: valid against the schema, and running on the demo data as they stand.

import { buildSchema, getOperationAST, parse, validate } from 'graphql';
import { createClient } from 'graphql-ws';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import WebSocket from 'ws';
import { EXAMPLES, type Example, type Tools } from '../../../web/src/examples.js';
import { authorization, SOCKET_URL, URL } from './stoa.js';

const schema = buildSchema(readFileSync(process.env['STOA_SCHEMA'] ?? '../../schema.graphql', 'utf8'));

interface Answer {
  data?: Record<string, { userErrors?: unknown[] } | null> | null;
  errors?: unknown;
}

async function run(query: string, variables?: Record<string, unknown>): Promise<Answer> {
  const response = await fetch(URL, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: await authorization() },
    body: JSON.stringify({ query, variables }),
  });
  return (await response.json()) as Answer;
}

const tools: Tools = {
  async ask(query, path) {
    const { data, errors } = await run(query);
    assert.equal(errors, undefined);
    const found = path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown> | null)?.[key], data);
    assert.equal(typeof found, 'string', `${path} is there`);
    return found as string;
  },
  uuid: randomUUID,
};

const examples = EXAMPLES.flatMap(({ examples }) => examples);
const kind = ({ query }: Example) => getOperationAST(parse(query))?.operation;

for (const example of examples) {
  test(example.title, async () => {
    assert.deepEqual(validate(schema, parse(example.query)), []);
    if (kind(example) === 'subscription') await listen(example);
    else await runs(example);
  });
}

async function runs({ query, variables }: Example) {
  const { data, errors } = await run(query, await variables?.(tools));
  assert.equal(errors, undefined);
  for (const payload of Object.values(data ?? {})) {
    assert.ok(payload);
    if (payload.userErrors) assert.deepEqual(payload.userErrors, []);
  }
}

/** What the examples write is heard by the examples that listen. */
async function listen({ query, variables }: Example) {
  const client = createClient({
    url: SOCKET_URL,
    webSocketImpl: WebSocket,
    connectionParams: async () => ({ authorization: await authorization() }),
  });
  try {
    const feed = client.iterate({ query, variables: await variables?.(tools) });
    const first = feed.next();
    let heard = false;
    void first.finally(() => (heard = true)).catch(() => {});
    const until = Date.now() + 5000;
    // Not the one that makes another conversation the newest.
    const writers = examples.filter((other) => kind(other) === 'mutation' && other.title !== 'Start a conversation');
    // No protocol says when a subscription has begun: write until something is heard.
    while (!heard && Date.now() < until) for (const writer of writers) await runs(writer);
    assert.ok(heard, 'something is heard');
    const { value } = await first;
    assert.equal(value?.errors, undefined);
    assert.ok(value?.data);
  } finally {
    await client.dispose();
  }
}
