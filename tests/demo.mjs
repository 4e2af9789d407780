// Two people meet and talk in the demo, through their pages.
//
//     node tests/demo.mjs [COMMAND...]     (./run --demo --any-port)
//
// Starts the demo in a fresh home, reads the two addresses that it prints, opens both in one Chromium, and lets Ana
// invite Bo and both write. Ends with code 0 only when each has read the other. Whatever happens, the demo is ended.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

// Loaded once the demo runs: `./run` may have to install it first.
let expect;
const [program, ...words] = process.argv.length > 2 ? process.argv.slice(2) : ['./run', '--demo', '--any-port'];
const root = new URL('..', import.meta.url).pathname;
const home = mkdtempSync(join(tmpdir(), 'stonechat-demo-'));
const began = Date.now();

function step(what) {
  console.log(`[${String(((Date.now() - began) / 1000).toFixed(1)).padStart(6)} s] ${what}`);
}

/** Starts the demo; answers it and the two addresses, once it has said them. */
async function start() {
  const demo = spawn(program, words, {
    cwd: root,
    env: { ...process.env, STONECHAT_HOME: home },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true, // a group of its own, so that all of it can be ended
  });
  const ended = new Promise((_, reject) => demo.once('exit', (code) => reject(new Error(`the demo ended with ${code}`))));
  ended.catch(() => undefined);
  const addresses = {};
  const said = (async () => {
    for await (const line of createInterface({ input: demo.stdout })) {
      const found = /http:\/\/(ana|bo)\.localhost\S*/.exec(line);
      if (found !== null) addresses[found[1]] = found[0];
      if (addresses.ana !== undefined && addresses.bo !== undefined) return addresses;
    }
    throw new Error('the demo ended without saying its addresses');
  })();
  try {
    return { demo, addresses: await Promise.race([said, ended]) };
  } catch (error) {
    await end(demo);
    throw error;
  }
}

/** Ctrl-C ends it, and all it started: an error when it has to be killed or anything is left. */
async function end(demo) {
  if (demo.exitCode !== null) return;
  const gone = new Promise((resolve) => demo.once('exit', (_code, signal) => resolve(signal)));
  process.kill(-demo.pid, 'SIGINT');
  const killer = setTimeout(() => process.kill(-demo.pid, 'SIGKILL'), 10_000);
  const signal = await gone;
  clearTimeout(killer);
  if (signal === 'SIGKILL') throw new Error('Ctrl-C did not end the demo within ten seconds');
  if (groupLives(demo.pid)) throw new Error('something the demo started lives on');
}

function groupLives(group) {
  try {
    return process.kill(-group, 0);
  } catch {
    return false;
  }
}

async function person(browser, address, name, invitation) {
  const context = await browser.newContext({ locale: 'en-US' });
  const page = await context.newPage();
  page.on('pageerror', (error) => console.log(`${name}'s page: ${error}`));
  await page.goto(address);
  if (invitation === undefined) {
    await page.getByRole('button', { name: 'Start without one' }).click();
  } else {
    await page.getByRole('button', { name: 'I have an invitation' }).click();
    await page.getByLabel('Link or code').fill(invitation);
    await page.getByRole('button', { name: 'Continue' }).click();
  }
  await page.getByLabel('Name', { exact: true }).fill(name);
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  return page;
}

async function invite(page) {
  await page.getByRole('button', { name: 'Invite someone' }).first().click();
  await page.getByRole('radio', { name: /^One person/ }).check();
  await page.getByRole('radio', { name: /^By a channel that only you two read/ }).check();
  await page.getByRole('button', { name: 'Make the invitation' }).click();
  await expect(page.getByText('The relay has not confirmed it yet.')).toHaveCount(0);
  const link = page.getByLabel('Invitation link');
  await expect(link).toHaveValue(/^http/);
  return link.inputValue();
}

async function write(page, text) {
  const field = page.getByPlaceholder('Message');
  await field.fill(text);
  await field.press('Enter');
}

async function talk(browser, addresses) {
  const ana = await person(browser, addresses.ana, 'Ana');
  step('Ana has an account');
  const link = await invite(ana);
  step('Ana has an invitation');
  const bo = await person(browser, addresses.bo, 'Bo', link);
  step('Bo has taken it up');
  await write(bo, 'Is it you?');
  await ana.getByRole('button', { name: /Bo/ }).first().click();
  await expect(ana.getByText('Is it you?').first()).toBeVisible();
  step('Ana reads Bo');
  await write(ana, 'It is me.');
  await expect(bo.getByText('It is me.').first()).toBeVisible();
  step('Bo reads Ana');
  await expect(bo.locator('article[data-state=read]').first()).toBeVisible();
  await expect(ana.locator('article[data-state=read]').first()).toBeVisible();
  step('both know that they were read');
}

/** The browser, with what the page's own tests use. */
async function openBrowser() {
  const playwright = createRequire(new URL('../ui/package.json', import.meta.url))('@playwright/test');
  expect = playwright.expect.configure({ timeout: 15_000 });
  return playwright.chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    chromiumSandbox: process.getuid?.() !== 0,
  });
}

async function check() {
  const { demo, addresses } = await start();
  step('both addresses are known');
  try {
    const browser = await openBrowser();
    try {
      await talk(browser, addresses);
    } finally {
      await browser.close();
    }
  } finally {
    await end(demo);
  }
  step('the demo has ended');
}

let code = 0;
try {
  await check();
} catch (error) {
  code = 1;
  console.log(String(error.stack ?? error));
} finally {
  rmSync(home, { recursive: true, force: true });
}
process.exit(code);
