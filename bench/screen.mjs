// How long it takes from the daemon's start until a person can use the page, in a real browser.
//
//     node bench/screen.mjs PROGRAM RUNS HOME...
//
// For each home: starts the daemon, opens its page in a browser that runs already, waits until the first chat is open
// and its composer takes a letter (or, where there is no chat, until the empty list stands), then scrolls up.
// Prints one JSON object a home: { "ms": [sorted], "longest_task_ms": N }.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const [program, runs, ...homes] = process.argv.slice(2);
const { chromium } = createRequire(new URL('../ui/package.json', import.meta.url))('@playwright/test');
const SCROLLS = 60;

/** Starts a daemon; answers it and its launch address. */
async function start(home) {
  const daemon = spawn(program, ['--home', home, 'serve', '--port', '0'], { stdio: ['ignore', 'pipe', 'ignore'] });
  for await (const line of createInterface({ input: daemon.stdout })) {
    if (line.startsWith('ui: ')) return { daemon, url: line.slice(4).trim() };
  }
  throw new Error('the daemon ended without saying its address');
}

async function end(daemon) {
  const gone = new Promise((resolve) => daemon.once('exit', resolve));
  daemon.kill('SIGTERM');
  await gone;
}

/** Until a letter stands in the composer, or the empty list on the screen. */
async function ready(page) {
  await page.locator('.chat, .empty').first().waitFor();
  if ((await page.locator('.chat').count()) === 0) return;
  await page.locator('.chat').first().click();
  await page.locator('article').last().waitFor();
  await page.locator('textarea').pressSequentially('a');
}

/** Scrolls up through history. Out: the longest task meanwhile, ms. */
async function scroll(page) {
  if ((await page.locator('article').count()) === 0) return 0;
  await page.locator('textarea').fill('');
  await page.evaluate(() => {
    window.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
    }).observe({ type: 'longtask' });
  });
  await page.locator('article').last().hover();
  for (let n = 0; n < SCROLLS; n += 1) {
    await page.mouse.wheel(0, -3000);
    await page.waitForTimeout(30);
  }
  return page.evaluate(() => window.longest);
}

async function once(browser, home) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 860 }, locale: 'en-GB' });
  const page = await context.newPage();
  const began = performance.now();
  const { daemon, url } = await start(home);
  try {
    await page.goto(url);
    await ready(page);
    return { ms: performance.now() - began, longest: await scroll(page) };
  } finally {
    await context.close();
    await end(daemon);
  }
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', chromiumSandbox: process.getuid?.() !== 0 });
for (const home of homes) {
  const all = [];
  for (let n = 0; n < Number(runs); n += 1) all.push(await once(browser, home));
  const ms = all.map((one) => one.ms).sort((a, b) => a - b);
  console.log(JSON.stringify({ ms, longest_task_ms: Math.max(...all.map((one) => one.longest)) }));
}
await browser.close();
