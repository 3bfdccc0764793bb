// GraphQL over HTTP, judged by the audits of the people who write that specification.

import { auditServer } from 'graphql-http';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { URL } from './stoa.js';

const results = await auditServer({ url: URL });

test('there are audits', () => assert.ok(results.length > 50));

for (const result of results) {
  test(`${result.id} ${result.name}`, () => {
    if (!result.name.startsWith('MAY')) assert.equal(result.status, 'ok', 'reason' in result ? result.reason : '');
  });
}
