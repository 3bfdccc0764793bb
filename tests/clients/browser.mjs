// The GraphiQL page in a real browser, as a newcomer uses it: sign in, list leads, start a conversation, subscribe in
// one tab, send in another, see it arrive; the same with two tabs of GraphiQL. Nothing may leave the origin and
// nothing may be refused by the page's own policy. Writes target/graphiql.png and target/graphiql-dark.png, to be
// looked at.

import assert from 'node:assert/strict';
import { launch, tell as report } from './chromium.mjs';

const URL_ = process.env.STOA_URL ?? 'http://127.0.0.1:4000/graphql';
const { origin } = new URL(URL_);

const page_ = await fetch(URL_, { headers: { accept: 'text/html' } }).then((answer) => answer.text());
if (!page_.includes('name="stoa-demo"')) {
  console.error('SKIPPED: the server was built without the GraphiQL page (make web, then build it again).');
  process.exit(0);
}

const browser = await launch('the GraphiQL page');
const complaints = [];

/** A browser window with its own storage; whatever its pages complain of is kept. */
async function open(colorScheme) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme });
  context.setDefaultTimeout(15_000);
  context.on('page', (page) => {
    page.on('pageerror', (error) => complaints.push(`error in the page: ${error.message}`));
    page.on('console', (line) => line.type() === 'error' && complaints.push(`console: ${line.text()}`));
    page.on('request', (request) => {
      const { protocol, origin: to } = new URL(request.url());
      if (protocol !== 'data:' && to !== origin) complaints.push(`leaves the origin: ${request.url()}`);
    });
    page.on('websocket', (socket) => {
      if (new URL(socket.url()).host !== new URL(origin).host) complaints.push(`leaves the origin: ${socket.url()}`);
    });
  });
  return context;
}

async function signIn(page) {
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('E-mail').fill('admin@acme.com');
  await dialog.getByLabel('Password').fill('password123');
  await dialog.getByRole('button', { name: 'Sign in', exact: true }).click();
  await dialog.waitFor({ state: 'hidden' });
  await page.getByText('admin@acme.com').waitFor();
}

/** Opens an example and runs it. */
async function example(page, title, operation) {
  await show(page, 'Examples');
  await page.locator('.stoa-example', { hasText: title }).click();
  await page.locator('.graphiql-tab-active', { hasText: operation }).waitFor();
  // GraphiQL reads the document and its operation's name a moment after the editor has changed.
  await page.waitForTimeout(500);
  await execute(page);
}

const execute = (page) => page.getByRole('button', { name: /^Execute/ }).click();
const answer = (page) => page.locator('.result-window');

/** Opens a panel on the left, unless it is open. */
async function show(page, title) {
  await page.getByRole('button', { name: `Show ${title}` }).or(page.getByRole('button', { name: `Hide ${title}` })).waitFor();
  const button = page.getByRole('button', { name: `Show ${title}` });
  if (await button.isVisible()) await button.click();
}

const tell = (name, story) => report(name, story, complaints);

try {
  const window_ = await open('light');
  const page = await window_.newPage();
  // The sockets of this page can be cut, and kept from coming back until they may.
  let cut = () => {};
  let away = Promise.resolve();
  await page.routeWebSocket(/.*/, async (socket) => {
    await away;
    socket.connectToServer();
    cut = () => socket.close({ code: 1012, reason: 'restart' });
  });

  await tell('the page opens and asks to sign in', async () => {
    const response = await page.goto(URL_);
    assert.match(response.headers()['content-security-policy'] ?? '', /script-src 'self'/);
    await page.getByRole('dialog').waitFor();
  });

  await tell('a wrong password is told in words', async () => {
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('E-mail').fill('admin@acme.com');
    await dialog.getByLabel('Password').fill('not the password');
    await dialog.getByRole('button', { name: 'Sign in', exact: true }).click();
    await dialog.getByRole('alert').filter({ hasText: /\w/ }).waitFor();
  });

  await tell('signs in', () => signIn(page));

  await tell('lists leads with owner and account', async () => {
    await execute(page);
    await answer(page).getByText('"totalCount"').waitFor();
    await answer(page).getByText('"owner"').first().waitFor();
  });

  await tell('starts a conversation and subscribes to it', async () => {
    await example(page, 'Start a conversation', 'StartConversation');
    await answer(page).getByText('"conversation"').waitFor();
    await example(page, 'Watch a conversation', 'WatchConversation');
    await show(page, 'Live');
    await page.locator('.stoa-feed').getByText('live · 0 events').waitFor();
  });

  await tell('a message sent in another browser tab arrives', async () => {
    const other = await window_.newPage();
    await other.goto(URL_);
    await other.getByText('admin@acme.com').waitFor();
    await example(other, 'Send a message', 'SendMessage');
    await answer(other).getByText('"seq": 1').or(answer(other).getByText('Good morning!')).first().waitFor();
    await answer(page).getByText('Good morning!').waitFor();
    await page.locator('.stoa-feed').getByText('live · 1 event').waitFor();
  });

  await tell('a message sent in another tab of GraphiQL arrives', async () => {
    await page.bringToFront();
    await example(page, 'Send a message', 'SendMessage');
    await show(page, 'Live');
    await page.locator('.stoa-feed').getByText('live · 2 events').waitFor();
    await page.locator('.stoa-feed pre').getByText('Good morning!').first().waitFor();
    await page.screenshot({ path: '../../target/graphiql.png' });
  });

  await tell('what is sent while the socket is away arrives when it is back', async () => {
    let comeBack = () => {};
    away = new Promise((resolve) => (comeBack = resolve));
    cut();
    await example(page, 'Send a message', 'SendMessage');
    await answer(page).getByText('"messageSend"').waitFor();
    await show(page, 'Live');
    await page.locator('.stoa-feed').getByText('reconnecting · 2 events').waitFor();
    comeBack();
    await page.locator('.stoa-feed').getByText('live · 3 events').waitFor();
  });

  await tell('stops a feed, signs out and stays out after a reload', async () => {
    await page.locator('.stoa-feed').getByRole('button', { name: 'Stop' }).click();
    await page.locator('.stoa-feed').getByText('ended · 3 events').waitFor();
    await page.getByRole('button', { name: 'admin@acme.com' }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    await page.reload();
    await page.getByRole('dialog').waitFor();
  });

  await tell('a demo sign-in is one click, in the dark', async () => {
    const dark = await (await open('dark')).newPage();
    await dark.goto(URL_);
    await dark.getByRole('dialog').getByRole('button', { name: /^user@acme.com/ }).click();
    await dark.getByRole('dialog').waitFor({ state: 'hidden' });
    await execute(dark);
    await answer(dark).getByText('"totalCount"').waitFor();
    await dark.screenshot({ path: '../../target/graphiql-dark.png' });
  });

  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
}
