// The browser of the tests of pages: a Chromium that is there already, because playwright-core brings none.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

function find() {
  const inPath = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'].map((name) => {
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {
      return '';
    }
  });
  const places = [process.env.STOA_CHROMIUM, ...inPath, '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'];
  return places.find((place) => place && existsSync(place));
}

/** A browser; where there is none, says what is skipped and ends the process well. */
export async function launch(what) {
  const executablePath = find();
  if (!executablePath) {
    console.error(`SKIPPED: the test of ${what} needs Chromium (Debian: apt-get install chromium; or STOA_CHROMIUM).`);
    process.exit(0);
  }
  return chromium.launch({
    executablePath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** Says how a part of the test went; `complaints`: what the pages have complained of by then. */
export async function tell(name, story, complaints) {
  const began = Date.now();
  try {
    await story();
  } catch (error) {
    console.error(`✖ ${name} (${Date.now() - began} ms): ${error.message}\n${complaints.join('\n')}`);
    throw error;
  }
  console.log(`✔ ${name} (${Date.now() - began} ms)`);
}
