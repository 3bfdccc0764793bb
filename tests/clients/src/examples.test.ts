// The examples of the GraphiQL page: valid against the schema, and running on the demo data as they stand.

import { buildSchema, getOperationAST, parse, validate } from 'graphql';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EXAMPLES, type Tools } from '../../../web/src/examples.js';
import { authorization, URL } from './stoa.js';

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

for (const { title, query, variables } of EXAMPLES.flatMap(({ examples }) => examples)) {
  test(title, async () => {
    const document = parse(query);
    assert.deepEqual(validate(schema, document), []);
    // The client tests listen; here it is enough that the variables are found.
    const values = await variables?.(tools);
    if (getOperationAST(document)?.operation === 'subscription') return;

    const { data, errors } = await run(query, values);
    assert.equal(errors, undefined);
    for (const payload of Object.values(data ?? {})) {
      assert.ok(payload);
      if (payload.userErrors) assert.deepEqual(payload.userErrors, []);
    }
  });
}
