// The README, copied from: its shell commands give what it says, and its set-ups of Apollo Client and urql work as they
// stand. Only the address is another one.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import WebSocket from 'ws';
import {
  ConversationEventsDocument,
  LeadsDocument,
  type ConversationEventsSubscription,
  type LeadsQuery,
} from '../gen/graphql.js';
import { authorization, conversation, hears, Inbox, URL } from './stoa.js';

const README = readFileSync('../../README.md', 'utf8')
  .replaceAll('http://127.0.0.1:4000/graphql', URL)
  .replaceAll('ws://127.0.0.1:4000/graphql', URL.replace(/^http/, 'ws'));

/** The first code of that language that has the word. */
function code(language: string, word: string): string {
  const blocks = [...README.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, block]) => block ?? '');
  const found = blocks.find((block) => block.includes(word));
  assert.ok(found, `the README has ${language} with ${word}`);
  return found;
}

/** Runs a shell script until its output has the words, and answers the output. */
async function shell(script: string, words: string): Promise<string> {
  // A group of its own, so that what it leaves in the background ends with it.
  const process_ = spawn('bash', ['-euc', script], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  try {
    return await new Promise((resolve, reject) => {
      const tooLate = () => reject(new Error(`no ${words} in ${output}`));
      const timer = setTimeout(tooLate, 10_000);
      process_.once('error', reject);
      process_.stdout.on('close', () => (clearTimeout(timer), output.includes(words) ? resolve(output) : tooLate()));
      process_.stdout.on('data', (text) => {
        output += text;
        if (!output.includes(words)) return;
        clearTimeout(timer);
        resolve(output);
      });
    });
  } finally {
    if (process_.pid) process.kill(-process_.pid);
  }
}

const FIRST_QUERY = code('sh', 'leads(first: 3)');
const FIRST_PROGRAM = code('sh', 'apiKeyCreate');
const FIRST_SUBSCRIPTION = code('sh', 'conversationEvents');

test('the first query', async () => {
  const output = await shell(`${FIRST_QUERY}\nsleep 10`, 'pageInfo');
  const { data, errors } = JSON.parse(output) as { data: LeadsQuery; errors?: unknown };
  assert.equal(errors, undefined);
  assert.ok((data.leads?.totalCount ?? 0) >= 100);
});

const signIn = FIRST_QUERY.slice(0, FIRST_QUERY.indexOf('\n\n'));

test('the first program', async () => {
  const output = await shell(`${signIn}\n${FIRST_PROGRAM}\nsleep 10`, 'totalCount');
  assert.match(output, /"apiKeyId":"[-0-9a-f]{36}"/);
});

test('the first subscription', async () => {
  const output = await shell(`${signIn}\n${FIRST_SUBSCRIPTION}\nsleep 10`, '"body":"Good morning!"');
  assert.match(output, /event: next\ndata: \{"data":\{"conversationEvents":\{"__typename":"MessageSent","cursor":"/);
});

/** Imports a set-up of the README as a module, with the token that it leaves to the application. */
async function setUp(name: string): Promise<{ client: never }> {
  Object.assign(globalThis, { WebSocket, accessToken: (await authorization()).replace(/^Bearer /, '') });
  mkdirSync('dist/readme', { recursive: true });
  const file = `dist/readme/${name.replace(/\W/g, '')}.mjs`;
  writeFileSync(file, code('js', name));
  return (await import(`${process.cwd()}/${file}`)) as { client: never };
}

type Listener = { next(result: { data?: ConversationEventsSubscription | null }): void; error?(error: unknown): void };

test('Apollo Client', async () => {
  interface Apollo {
    query(options: object): Promise<{ data: LeadsQuery }>;
    subscribe(options: object): { subscribe(listener: Listener): { unsubscribe(): void } };
    stop(): void;
  }
  const client: Apollo = (await setUp('@apollo/client')).client;
  const { data } = await client.query({ query: LeadsDocument, variables: { first: 3 } });
  assert.equal(data.leads?.edges.length, 3);
  const [conversationId, inbox] = [await conversation(), new Inbox()];
  const feed = client.subscribe({ query: ConversationEventsDocument, variables: { conversationId } });
  const subscription = feed.subscribe({ next: inbox.take, error: inbox.fail });
  await hears(inbox, conversationId);
  subscription.unsubscribe();
  client.stop();
});

test('urql', async () => {
  interface Urql {
    query(query: object, variables: object): Promise<{ data?: LeadsQuery; error?: unknown }>;
    subscription(query: object, variables: object): { subscribe(next: Inbox['take']): { unsubscribe(): void } };
  }
  const client: Urql = (await setUp('@urql/core')).client;
  const { data, error } = await client.query(LeadsDocument, { first: 3 });
  assert.equal(error, undefined);
  assert.equal(data?.leads?.edges.length, 3);
  const [conversationId, inbox] = [await conversation(), new Inbox()];
  const { unsubscribe } = client.subscription(ConversationEventsDocument, { conversationId }).subscribe(inbox.take);
  await hears(inbox, conversationId);
  unsubscribe();
});
