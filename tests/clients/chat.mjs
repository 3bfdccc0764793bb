// The chat of examples/chat in a real browser, as two people use it who write to each other while their server dies. A
// server of its own (STOA_BINARY), because this one is killed. Needs what `npm run build` makes in examples/chat. Writes
// target/chat-*.png, to be looked at.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { launch, tell as report } from './chromium.mjs';

const root = resolve(import.meta.dirname, '../..');
const binary = process.env.STOA_BINARY ?? resolve(root, process.env.CARGO_TARGET_DIR ?? 'target', 'debug/stoa');
if (!existsSync(binary)) {
  console.error(`SKIPPED: the test of the chat needs the program, which is not at ${binary} (STOA_BINARY).`);
  process.exit(0);
}

const browser = await launch('the chat');
const complaints = [];
const tell = (name, story) => report(name, story, complaints);

// --- the server, which is killed and started again at the same address

const folder = mkdtempSync(join(tmpdir(), 'stoa-chat.'));
chmodSync(folder, 0o755); // as root, PostgreSQL runs as another user
const log = join(folder, 'log');
let server;
let listen = '127.0.0.1:0';
process.on('exit', () => server?.kill()); // however this ends

async function start() {
  server = spawn(binary, ['serve', '--demo', '--listen', listen, '--data-dir', join(folder, 'data')], {
    stdio: ['ignore', 'pipe', openSync(log, 'a')],
  });
  const late = setTimeout(() => server.kill('SIGKILL'), 60_000);
  for await (const line of createInterface(server.stdout)) {
    const address = line.match(/^Stoa answers on (http:\/\/(\S+)\/graphql)$/);
    if (!address) continue;
    clearTimeout(late);
    listen = address[2];
    return address[1];
  }
  assert.fail('Stoa did not start');
}

async function stop(signal) {
  const ended = once(server, 'exit');
  server.kill(signal);
  await ended;
}

// --- the page, through the proxy of its own configuration

async function serve() {
  const chat = join(root, 'examples/chat');
  const vite = await import(join(chat, 'node_modules/vite/dist/node/index.js'));
  const preview = await vite.preview({ root: chat, logLevel: 'silent', preview: { host: '127.0.0.1', port: 0 } });
  return { url: preview.resolvedUrls.local[0], close: () => preview.close() };
}

/** A browser window with its own storage. */
async function open(url, options) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 760 }, ...options });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(`error in the page: ${error.message}`));
  // That the server is away is told by the browser, too.
  page.on(
    'console',
    (line) => line.type() === 'error' && !/Failed to load|WebSocket/.test(line.text()) && complaints.push(line.text()),
  );
  await page.goto(url);
  return page;
}

const row = (page, title) => page.locator('.conversations a', { has: page.locator('.name', { hasText: title }) });
const line = (page, text) => page.locator('.line', { hasText: text });
const typing = (page) => page.locator('.typing');
const shot = (page, name) => page.screenshot({ path: join(root, `target/chat-${name}.png`) });

async function say(page, text) {
  await page.getByLabel('Message', { exact: true }).fill(text);
  await page.keyboard.press('Enter');
}

/** What stands in the conversation that is open: numbers and texts, in the order of reading. */
const shown = (page) =>
  page
    .locator('.line')
    .evaluateAll((lines) => lines.map((line) => [Number(line.dataset.seq), line.querySelector('.text')?.textContent]));

/** Fails unless the page comes to show these texts last, in this order, and its messages are numbered without a gap. */
async function expectLast(page, texts) {
  for (const until = Date.now() + 20_000; ;) {
    const all = await shown(page);
    const last = all.slice(-texts.length).map(([, text]) => text);
    const gapless = all.every(([seq], place) => place === 0 || seq === all[place - 1][0] + 1);
    if (gapless && texts.every((text, place) => text === last[place])) return;
    if (Date.now() > until) assert.deepEqual({ last: all.slice(-texts.length - 2), gapless }, texts);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

mkdirSync(join(root, 'target'), { recursive: true });
let site;
try {
  process.env.STOA_URL = await start();
  site = await serve();
  const alice = await open(site.url);
  const ursula = await open(site.url, { colorScheme: 'dark' });

  await tell('a wrong password is told in words', async () => {
    await alice.getByLabel('E-mail').fill('admin@acme.com');
    await alice.getByLabel('Password').fill('not the password');
    await alice.getByRole('button', { name: 'Sign in', exact: true }).click();
    await alice.getByRole('alert').filter({ hasText: /\w/ }).waitFor();
    await shot(alice, 'sign-in');
  });

  await tell('two people sign in and see what is new to them', async () => {
    await alice.getByLabel('Password').fill('password123');
    await alice.getByRole('button', { name: 'Sign in', exact: true }).click();
    await ursula.getByRole('button', { name: 'user@acme.com' }).click();
    await row(alice, 'Renewal of Northwind').getByLabel('1 new').waitFor();
    await row(alice, 'Ursula').getByLabel('1 new').waitFor();
    await row(ursula, 'Sales Europe').waitFor();
    await shot(alice, 'list');
  });

  await tell('what is new is marked, and read by being seen', async () => {
    await row(ursula, 'Alice').click();
    await ursula.locator('.receipt', { hasText: 'Sent' }).waitFor();
    await row(alice, 'Ursula').click();
    await alice.locator('.divider.new + .line', { hasText: 'Thank you!' }).waitFor();
    await row(alice, 'Ursula').getByLabel('1 new').waitFor({ state: 'detached' });
    await ursula.locator('.receipt', { hasText: 'Read' }).waitFor();
  });

  await tell('each sees that the other is there, and types', async () => {
    await alice.locator('.thread header').getByText('Online').waitFor();
    await ursula.locator('.thread header').getByText('Online').waitFor();
    await ursula.getByLabel('Message', { exact: true }).pressSequentially('Good');
    await typing(alice).getByText('Ursula is typing').waitFor();
    await shot(alice, 'typing');
  });

  await tell('a message arrives, once', async () => {
    await say(ursula, 'Good morning, Alice!');
    await line(alice, 'Good morning, Alice!').waitFor();
    await typing(alice).getByText('typing').waitFor({ state: 'detached' });
    await expectLast(ursula, ['Thank you!', 'Good morning, Alice!']);
    await expectLast(alice, ['Thank you!', 'Good morning, Alice!']);
  });

  await tell('a message whose answer is lost is there once', async () => {
    let lost = false;
    await alice.route(/graphql/, async (route) => {
      if (lost || !route.request().postData()?.includes('mutation MessageSend')) return route.fallback();
      lost = true;
      await route.fetch();
      await route.abort();
    });
    await say(alice, 'Good morning, Ursula!');
    for (const page of [alice, ursula]) await expectLast(page, ['Good morning, Alice!', 'Good morning, Ursula!']);
    assert.ok(lost);
    await say(alice, 'Are you there?');
    for (const page of [alice, ursula])
      await expectLast(page, ['Good morning, Alice!', 'Good morning, Ursula!', 'Are you there?']);
  });

  await tell('reactions, edits and deletions are seen by both', async () => {
    await line(alice, 'Good morning, Alice').hover();
    await line(alice, 'Good morning, Alice').getByRole('button', { name: 'React with 🎉' }).click();
    await line(ursula, 'Good morning, Alice').getByRole('button', { name: '🎉 1' }).click();
    await line(alice, 'Good morning, Alice').getByRole('button', { name: '🎉 2', pressed: true }).click();
    await line(ursula, 'Good morning, Alice').getByRole('button', { name: '🎉 1', pressed: true }).waitFor();
    await say(alice, 'To be mended');
    await expectLast(alice, ['To be mended']);
    await alice.keyboard.press('ArrowUp');
    await alice.getByLabel('Edit the message').fill('Mended');
    await alice.keyboard.press('Enter');
    await line(ursula, 'Mended').getByText('edited').waitFor();
    await shot(ursula, 'dark');
    alice.once('dialog', (dialog) => dialog.accept());
    await line(alice, 'Mended').hover();
    await line(alice, 'Mended').getByRole('button', { name: 'Delete' }).click();
    await expectLast(ursula, ['Are you there?', 'This message was deleted']);
  });

  await tell('a long conversation is paged back to its beginning', async () => {
    await row(alice, 'Deal desk').click();
    await alice.locator('.line').nth(39).waitFor();
    for (let page = 0; page < 20 && !(await alice.getByText('This is where it begins.').isVisible()); page++) {
      await alice.locator('.scroller').evaluate((scroller) => scroller.scrollTo(0, -scroller.scrollHeight));
      await alice.waitForTimeout(100);
    }
    const all = await shown(alice);
    assert.ok(all.length > 80, `only ${all.length} messages`);
    assert.deepEqual(
      all.map(([seq]) => seq),
      all.map((_, place) => place + 1),
    );
  });

  await tell('a conversation is begun with somebody', async () => {
    await alice.getByRole('button', { name: 'New conversation' }).click();
    await alice.getByLabel('Search people').fill('Grace');
    await shot(alice, 'new');
    await alice.getByRole('dialog').getByRole('button', { name: 'Grace' }).click();
    await alice.getByText('Nothing was said yet').waitFor();
    await say(alice, 'Hello Grace');
    await expectLast(alice, ['Hello Grace']);
    await row(alice, 'Grace').waitFor();
  });

  await tell('a reload goes on with the session, where one was', async () => {
    await alice.reload();
    await expectLast(alice, ['Hello Grace']);
    await row(alice, 'Ursula').click();
  });

  const before = ['Are you there?', 'This message was deleted', 'Before'];
  const burst = ['one', 'two', 'three', 'four', 'five', 'six'];
  await tell('the server is killed while somebody writes', async () => {
    await say(ursula, 'Before');
    await expectLast(alice, before);
    await shot(alice, 'before');
    for (const text of burst.slice(0, 3)) await say(alice, text);
    await stop('SIGKILL');
    for (const page of [alice, ursula]) await page.getByText('Reconnecting…').waitFor();
    for (const text of burst.slice(3)) await say(alice, text);
    await alice.getByText('Waiting for the connection').last().waitFor();
    await shot(alice, 'away');
  });

  await tell('what is written without a server outlives a reload', async () => {
    await say(ursula, 'Written without a server');
    await line(ursula, 'Written without a server').waitFor();
    await ursula.reload();
    await ursula.getByText('Opening…').waitFor();
  });

  await tell('when it is back, everything is there once and in order, for both', async () => {
    await start();
    await line(alice, 'six').waitFor({ timeout: 30_000 });
    await line(alice, 'Written without a server').waitFor({ timeout: 30_000 });
    await alice.getByText('Reconnecting…').waitFor({ state: 'detached' });
    await alice.locator('.sending').first().waitFor({ state: 'detached' });
    const texts = (await shown(alice)).map(([, text]) => text);
    const since = texts.slice(texts.indexOf('Before') + 1);
    assert.deepEqual(
      since.filter((text) => text !== 'Written without a server'),
      burst,
      'what Alice wrote: all, once, in order',
    );
    assert.equal(since.length, burst.length + 1, 'and what Ursula wrote, once');
    await say(ursula, 'After');
    for (const page of [alice, ursula]) await expectLast(page, [...before, ...since, 'After']);
    await shot(alice, 'after');
  });

  await tell('a socket whose token is refused comes back with another', async () => {
    const tokens = new Set();
    await alice.routeWebSocket(/graphql/, (socket) => {
      const behind = socket.connectToServer();
      socket.onMessage((message) => {
        const { type, payload } = JSON.parse(message);
        if (type === 'connection_init') tokens.add(payload.authorization);
        behind.send(message);
      });
      behind.onMessage((message) => {
        if (tokens.size === 1) socket.close({ code: 4403, reason: 'Forbidden' });
        else socket.send(message);
      });
    });
    await alice.reload();
    await line(alice, 'After').waitFor();
    await say(ursula, 'And on');
    await expectLast(alice, ['After', 'And on']);
    assert.equal(tokens.size, 2);
  });

  await tell('it fits a telephone', async () => {
    await ursula.setViewportSize({ width: 390, height: 780 });
    await shot(ursula, 'narrow');
    await ursula.getByRole('link', { name: 'Back to the conversations' }).click();
    await row(ursula, 'Sales Europe').waitFor();
    await shot(ursula, 'narrow-list');
  });

  await tell('signs out, and stays out after a reload', async () => {
    await ursula.getByRole('button', { name: 'Sign out' }).click();
    await ursula.getByLabel('E-mail').waitFor();
    await ursula.reload();
    await ursula.getByLabel('E-mail').waitFor();
  });

  assert.deepEqual(complaints, []);
} catch (error) {
  const wrong = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => /"level":"(WARN|ERROR)"/.test(line));
  console.error('of what Stoa logged meanwhile:', wrong.slice(-20).join('\n') || 'nothing went wrong');
  throw error;
} finally {
  await browser.close();
  await site?.close();
  if (server?.exitCode === null && server.signalCode === null) await stop('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
}
