//! Two real daemons and a real relay, each a process of its own, on loopback: from the first screen to "read".
//! The program is named by STONECHAT_BIN. Where it is missing this fails: a part that did not run is not a pass.

import { test as base, expect, type Browser, type BrowserContextOptions, type Page } from '@playwright/test';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { en } from '../../src/i18n/en';
import { ru } from '../../src/i18n/ru';
import { expectAccessible, openSearch } from './mock/page';
import { BIN, Program, type Trouble } from './program';

interface House {
  route: string;
  relay: Program;
  /** Starts one more relay and answers its route. */
  anotherRelay(name: string): Promise<string>;
  /** Starts the relay again on the port and the data it had. */
  relayAgain(address: string): Promise<void>;
  /** Starts the demonstration: a relay and two profiles; answers both addresses. */
  demo(): Promise<{ ana: string; bo: string }>;
  /** Starts a daemon with a fresh home and answers its launch address. */
  daemon(name: string, ...more: string[]): Promise<{ url: string; program: Program }>;
  /** The same, in trouble. */
  troubled(trouble: Trouble, name: string, ...more: string[]): Promise<{ url: string; program: Program }>;
}

const test = base.extend<{ house: House }>({
  house: async ({}, use) => {
    expect(BIN, 'STONECHAT_BIN names the program').not.toBe('');
    expect(existsSync(BIN), `${BIN} exists`).toBe(true);
    const root = mkdtempSync(join(tmpdir(), 'stonechat-e2e-'));
    const running: Program[] = [];
    const start = (args: string[], home: string, trouble?: Trouble): Program => {
      const program = new Program(args, home, trouble);
      running.push(program);
      return program;
    };
    const troubled: House['troubled'] = async (trouble, name, ...more) => {
      const home = join(root, name);
      const program = start(['--home', home, 'serve', ...(more.includes('--port') ? [] : ['--port', '0']), ...more], home, trouble);
      return { url: await program.says('ui: '), program };
    };
    try {
      const relay = start(['relay', '--listen', '127.0.0.1:0', '--data', join(root, 'relay')], root);
      const route = await relay.says('route: ');
      await use({
        route,
        relay,
        anotherRelay: (name) => start(['relay', '--listen', '127.0.0.1:0', '--data', join(root, name)], root).says('route: '),
        relayAgain: async (address) => {
          await start(['relay', '--listen', address, '--data', join(root, 'relay')], root).says('route: ');
        },
        demo: async () => {
          const program = start(['demo', '--any-port', '--home', join(root, 'demo')], root);
          return { ana: await program.says('ana: '), bo: await program.says('bo: ') };
        },
        daemon: (name, ...more) => troubled({}, name, ...more),
        troubled,
      });
    } finally {
      for (const program of running.reverse()) await program.end();
      rmSync(root, { recursive: true, force: true });
    }
  },
});

/** A window of its own, that reports whatever should not happen in it. */
async function window(browser: Browser, options: BrowserContextOptions, trouble: string[]): Promise<Page> {
  const context = await browser.newContext({ ...options, locale: 'en-GB', permissions: [] });
  const page = await context.newPage();
  page.on('pageerror', (error) => trouble.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
  page.on('request', (request) => {
    const { hostname } = new URL(request.url());
    if (hostname !== '127.0.0.1' && !hostname.endsWith('localhost') && hostname !== '') trouble.push(`left loopback: ${hostname}`);
  });
  await page.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
  return page;
}

async function chooseLanguage(page: Page, lang: 'en' | 'ru'): Promise<void> {
  await page.getByRole('button', { name: lang === 'ru' ? 'Русский' : 'English' }).click();
}

/** The invitation is on the page, and the relay has confirmed it: it can be passed on. */
async function invitationStands(page: Page, words: typeof en): Promise<void> {
  await expect(page.getByText(words.invite.thisComputer)).toBeVisible();
  await expect(page.getByText(words.invite.state.preparing.body)).toHaveCount(0, { timeout: 15_000 });
}

/** Ana starts without an invitation, and is connected. */
async function startWithout(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.getByRole('button', { name: en.start.without }).click();
  await page.getByLabel(en.start.nameLabel).fill('Ana');
  await page.getByRole('button', { name: en.start.go }).click();
  await expect(page.locator('button.line')).toContainText(en.connection.connected.line, { timeout: 15_000 });
}

const SIZES: Record<string, BrowserContextOptions> = {
  desktop: { viewport: { width: 1180, height: 860 } },
  phone: { viewport: { width: 360, height: 720 }, hasTouch: true, isMobile: true },
};

for (const [size, options] of Object.entries(SIZES)) {
  for (const [lang, words] of Object.entries({ en, ru }) as ['en' | 'ru', typeof en][]) {
    test(`first screen, invite, accept, approve, message, delivered, read: ${size}, ${lang}`, async ({ browser, house }) => {
      const trouble: string[] = [];
      const { url: anaUrl } = await house.daemon('ana', '--relay', house.route);
      const { url: boUrl } = await house.daemon('bo');
      const ana = await window(browser, options, trouble);
      const bo = await window(browser, options, trouble);

      await test.step('Ana starts without an invitation and makes one for family and friends', async () => {
        await ana.goto(anaUrl);
        await chooseLanguage(ana, lang);
        await ana.getByRole('button', { name: words.start.without }).click();
        await ana.getByLabel(words.start.nameLabel).fill('Аня');
        await ana.getByRole('button', { name: words.start.go }).click();
        await expect(ana.locator('button.line')).toContainText(words.connection.connected.line, { timeout: 15_000 });
        await expect(ana, 'the launch token is out of the address').not.toHaveURL(/launch/);
        await ana.getByRole('button', { name: words.chats.invite }).first().click();
        await ana.locator('input[value=plain]').check();
        await ana.getByRole('button', { name: words.invite.make }).click();
        await invitationStands(ana, words);
        await expectAccessible(ana);
      });
      const link = await ana.getByLabel(words.invite.link).inputValue();
      expect(link.length).toBeLessThanOrEqual(120);

      await test.step('Bo takes it up from the first screen and writes before being let in', async () => {
        await bo.goto(boUrl);
        await chooseLanguage(bo, lang);
        await bo.getByRole('button', { name: words.start.haveInvitation }).click();
        await bo.getByLabel(words.invitation.label).fill(link);
        await bo.getByRole('button', { name: words.app.continue }).click();
        await bo.getByLabel(words.start.nameLabel).fill('Bo');
        await bo.getByRole('button', { name: words.start.go }).click();
        await expect(bo.getByText(words.chat.waiting('Аня'))).toBeVisible({ timeout: 15_000 });
        await bo.locator('textarea').fill('Это я, Bo 🙂');
        await bo.getByRole('button', { name: words.chat.send, exact: true }).click();
        await expect(bo.getByRole('article', { name: /Это я/ })).toBeVisible();
      });

      await test.step('Ana lets Bo in', async () => {
        await ana.getByRole('button', { name: words.invite.decide, exact: true }).click({ timeout: 15_000 });
        await expect(ana.getByRole('heading', { name: 'Bo' })).toBeVisible();
        await expectAccessible(ana);
        await ana.getByRole('button', { name: words.requests.approve, exact: true }).click();
        await expect(ana.getByRole('article', { name: /Это я, Bo/ })).toBeVisible({ timeout: 15_000 });
        await expect(bo.getByText(words.chat.waiting('Аня'))).toHaveCount(0, { timeout: 15_000 });
      });

      await test.step('Bo sees that it was read; Ana answers; delivered before it is read', async () => {
        await expect(bo.getByRole('article', { name: /Это я/ })).toHaveAttribute('data-state', 'read', { timeout: 20_000 });
        // Bo looks away: delivered, but not read.
        const chat = bo.url();
        await bo.getByRole('button', { name: words.app.back }).first().click({ timeout: 1_000 }).catch(() => bo.evaluate(() => (location.hash = '#/settings')));
        await expect(bo).not.toHaveURL(chat);
        await ana.locator('textarea').fill('Слышу тебя');
        await ana.getByRole('button', { name: words.chat.send, exact: true }).click();
        const row = ana.getByRole('article', { name: /Слышу тебя/ });
        await expect(row).toHaveAttribute('data-state', 'delivered', { timeout: 15_000 });
        await row.press('Enter');
        await expect(ana.getByRole('dialog')).toContainText(words.message.explain.delivered);
        await ana.keyboard.press('Escape');
        await expect(bo).toHaveTitle('(1) Stonechat');
        await bo.evaluate((hash) => (location.hash = hash), new URL(chat).hash);
        await expect(bo.getByRole('article', { name: /Слышу тебя/ })).toBeVisible();
        await expect(row).toHaveAttribute('data-state', 'read', { timeout: 20_000 });
      });

      await test.step('what was said is found again', async () => {
        await openSearch(ana);
        await ana.getByRole('combobox').fill('слы');
        await expect(ana.locator('mark').first()).toHaveText(/слыш/i);
        await expectAccessible(ana);
        await ana.keyboard.press('Enter');
        await expect(ana.getByRole('dialog')).toHaveCount(0);
      });

      await test.step('Ana puts an emoji on it, answers, changes her answer and deletes it: Bo sees each', async () => {
        const menu = async (name: RegExp): Promise<void> => {
          await ana.getByRole('article', { name }).last().press('Enter');
          await expect(ana.getByRole('dialog')).toBeVisible();
        };
        await menu(/Это я/);
        await ana.getByRole('button', { name: '❤️', exact: true }).click();
        await expect(bo.locator('.reactions button')).toHaveAccessibleName('❤️ 1: Аня', { timeout: 15_000 });
        await ana.getByRole('dialog').getByRole('button', { name: words.chat.reply, exact: true }).click();
        await ana.locator('textarea').fill('Рада!');
        await ana.getByRole('button', { name: words.chat.send, exact: true }).click();
        const answer = bo.getByRole('article', { name: /Рада/ });
        await expect(answer.locator('.quote')).toContainText('Это я, Bo', { timeout: 15_000 });
        await menu(/Рада/);
        await ana.getByRole('button', { name: words.message.edit, exact: true }).click();
        await ana.locator('textarea').fill('Рада тебя слышать');
        await ana.getByRole('button', { name: words.chat.save, exact: true }).click();
        await expect(answer.locator('.text')).toHaveText('Рада тебя слышать', { timeout: 15_000 });
        await expect(answer.locator('.meta')).toContainText(words.chat.edited);
        await expectAccessible(bo);
        await menu(/Рада/);
        await ana.getByRole('button', { name: words.message.delete, exact: true }).click();
        await ana.getByRole('button', { name: words.message.deleteAll, exact: true }).click();
        await expect(bo.getByRole('article', { name: new RegExp(words.chat.deleted) })).toBeVisible({ timeout: 15_000 });
        await expect(bo.getByText('Рада')).toHaveCount(0);
      });

      await test.step('a reload stays in, at the same place, with everything', async () => {
        await bo.reload();
        await expect(bo.getByRole('article', { name: /Слышу тебя/ })).toBeVisible();
        await expectAccessible(bo);
      });
      expect(trouble).toEqual([]);
    });
  }
}

test('one person, in person: the code is read from a picture of the screen, confirming verifies both, numbers agree', async ({ browser, house }) => {
  const trouble: string[] = [];
  const ana = await window(browser, SIZES.phone!, trouble);
  const bo = await window(browser, SIZES.phone!, trouble);
  await startWithout(ana, (await house.daemon('ana', '--relay', house.route)).url);
  await ana.getByRole('button', { name: en.chats.invite }).first().click();
  await ana.locator('input[value=one]').check();
  await ana.getByRole('button', { name: en.invite.make }).click();
  await invitationStands(ana, en);
  const picture = await ana.locator('.qr').screenshot();

  await bo.goto((await house.daemon('bo')).url);
  await bo.getByRole('button', { name: en.start.haveInvitation }).click();
  await bo.locator('input[type=file]').setInputFiles({ name: 'code.png', mimeType: 'image/png', buffer: picture });
  await expect(bo.getByText(en.invitation.foundInPicture)).toBeVisible({ timeout: 15_000 });
  await bo.getByRole('button', { name: en.app.continue }).click();
  await bo.getByLabel(en.start.nameLabel).fill('Bo');
  await bo.getByRole('button', { name: en.start.go }).click();
  await expect(bo.getByText(en.chat.waiting('Ana'))).toBeVisible({ timeout: 15_000 });

  await ana.getByRole('button', { name: en.invite.decide, exact: true }).click({ timeout: 15_000 });
  await ana.getByRole('button', { name: en.requests.approveInPerson }).click();
  await expect(ana.locator('.head .sub')).toHaveText(en.chats.verified);
  await expect(bo.locator('.head .sub')).toHaveText(en.chats.verified, { timeout: 15_000 });

  const numbers: string[] = [];
  for (const page of [ana, bo]) {
    await page.locator('.who').click();
    await page.getByRole('button', { name: en.contact.safety }).click();
    await expect(page.locator('.number li')).toHaveCount(12);
    numbers.push((await page.locator('.number li').allTextContents()).join(' '));
  }
  expect(numbers[0]).toBe(numbers[1]);
  expect(numbers[0]).toMatch(/^(\d{5} ?){12}$/);
  expect(trouble).toEqual([]);
});

test('a group: made, written in by both, left', async ({ browser, house }) => {
  const trouble: string[] = [];
  const ana = await window(browser, SIZES.desktop!, trouble);
  const bo = await window(browser, SIZES.phone!, trouble);
  await startWithout(ana, (await house.daemon('ana', '--relay', house.route)).url);
  await ana.getByRole('button', { name: en.chats.invite }).first().click();
  await ana.locator('input[value=one]').check();
  await ana.locator('input[value=plain]').check();
  await ana.getByRole('button', { name: en.invite.make }).click();
  await invitationStands(ana, en);
  const link = await ana.getByLabel(en.invite.link).inputValue();
  await bo.goto((await house.daemon('bo')).url);
  await bo.getByRole('button', { name: en.start.haveInvitation }).click();
  await bo.getByLabel(en.invitation.label).fill(link);
  await bo.getByRole('button', { name: en.app.continue }).click();
  await bo.getByLabel(en.start.nameLabel).fill('Bo');
  await bo.getByRole('button', { name: en.start.go }).click();
  await bo.locator('textarea').fill('I am here');
  await bo.getByRole('button', { name: en.chat.send, exact: true }).click();
  await expect(bo.getByRole('article', { name: /I am here/ })).toHaveAttribute('data-state', /delivered|read/, { timeout: 20_000 });

  await ana.getByRole('button', { name: en.groups.make }).click();
  await ana.getByLabel(en.groups.name).fill('The dacha');
  await ana.getByRole('checkbox', { name: 'Bo' }).check();
  await ana.getByRole('button', { name: en.groups.create }).click();
  await expect(ana.locator('.head')).toContainText(en.groups.members(2));
  await ana.locator('textarea').fill('Who brings the gas?');
  await ana.getByRole('button', { name: en.chat.send, exact: true }).click();

  await bo.evaluate(() => (location.hash = '#/'));
  await bo.locator('.chat', { hasText: 'The dacha' }).click({ timeout: 20_000 });
  await expect(bo.getByRole('article', { name: /Ana, Who brings the gas/ })).toBeVisible({ timeout: 20_000 });
  await bo.locator('textarea').fill('I do');
  await bo.getByRole('button', { name: en.chat.send, exact: true }).click();
  await expect(ana.getByRole('article', { name: /Bo, I do/ })).toBeVisible({ timeout: 20_000 });
  await expectAccessible(bo);

  // Who types is seen; a name and a mark arrive as such; a vote is counted on both sides.
  await expect(async () => {
    await bo.locator('textarea').pressSequentially('x');
    await expect(ana.locator('.head .writing')).toContainText('Bo', { timeout: 1_500 });
  }).toPass({ timeout: 30_000 });
  await bo.locator('textarea').fill('@Ana **bring matches**');
  await bo.getByRole('button', { name: en.chat.send, exact: true }).click();
  const asked = ana.getByRole('article', { name: /bring matches/ });
  await expect(asked.locator('.mention.me')).toHaveText('@Ana', { timeout: 20_000 });
  await expect(asked.locator('strong')).toHaveText('bring matches');
  await ana.locator('.who').click();
  await ana.getByRole('button', { name: en.polls.start }).click();
  await ana.getByLabel(en.polls.question).fill('When?');
  for (const [number, choice] of [[1, 'at seven'], [2, 'at eight']] as const) await ana.getByLabel(en.polls.choice(number)).fill(choice);
  await ana.getByRole('button', { name: en.polls.ask }).click();
  await bo.getByRole('button', { name: /^at eight/ }).click({ timeout: 20_000 });
  await expect(ana.getByRole('button', { name: 'at eight, 1 vote: Bo' })).toBeVisible({ timeout: 20_000 });

  await bo.locator('.who').click();
  await bo.getByRole('button', { name: en.groups.leave }).click();
  await bo.getByRole('button', { name: en.groups.leaveDo, exact: true }).click();
  await expect(bo.getByText(en.groups.notIn)).toBeVisible({ timeout: 15_000 });
  expect(trouble).toEqual([]);
});

test('three spoken words: wrong ones are told and do not use the invitation up', async ({ browser, house }) => {
  const trouble: string[] = [];
  const ana = await window(browser, SIZES.desktop!, trouble);
  const bo = await window(browser, SIZES.desktop!, trouble);
  await startWithout(ana, (await house.daemon('ana', '--relay', house.route)).url);
  await ana.getByRole('button', { name: en.chats.invite }).first().click();
  await ana.locator('input[value=one]').check();
  await ana.locator('input[value=spoken]').check();
  await ana.getByRole('button', { name: en.invite.make }).click();
  await invitationStands(ana, en);
  const link = await ana.getByLabel(en.invite.link).inputValue();
  const spoken = (await ana.locator('.three').textContent())!.trim();

  await bo.goto((await house.daemon('bo')).url);
  await bo.getByRole('button', { name: en.start.haveInvitation }).click();
  await bo.getByLabel(en.invitation.label).fill(link);
  await bo.getByRole('button', { name: en.app.continue }).click();
  await bo.getByLabel(en.start.nameLabel).fill('Bo');
  await bo.getByRole('button', { name: en.start.go }).click();
  await expect(bo.getByText(en.acceptance.needsWords.body)).toBeVisible({ timeout: 15_000 });
  await bo.getByLabel(en.invitation.wordsLabel).fill('zoo zoo zoo');
  await bo.getByRole('button', { name: en.acceptance.tryWords }).click();
  // The chat stands at once; the answer calls back.
  await bo.locator('.chats .chat', { hasText: en.acceptance.failed.wordsWrong.title }).click({ timeout: 20_000 });
  await expect(bo.getByText(en.acceptance.failed.wordsWrong.body)).toBeVisible();
  await bo.getByLabel(en.invitation.wordsLabel).fill(spoken.toUpperCase());
  await bo.getByRole('button', { name: en.acceptance.tryWords }).click();
  await expect(bo.locator('textarea')).toBeVisible({ timeout: 20_000 });
  await expect(bo.getByText(en.chat.waiting('Ana'))).toHaveCount(0, { timeout: 20_000 });
  expect(trouble).toEqual([]);
});

test('offline: an invitation is saved, and finished as soon as the relay is there', async ({ browser, house }) => {
  const trouble: string[] = [];
  const bo = await window(browser, SIZES.phone!, trouble);
  await bo.goto((await house.daemon('bo')).url);
  await chooseLanguage(bo, 'ru');
  await bo.getByRole('button', { name: ru.start.haveInvitation }).click();
  // A door that nobody keeps: well formed, on a port where nothing listens.
  const ana = await window(browser, SIZES.phone!, trouble);
  await startWithout(ana, (await house.daemon('ana', '--relay', house.route)).url);
  await ana.getByRole('button', { name: en.chats.invite }).first().click();
  await ana.locator('input[value=plain]').check();
  await ana.getByRole('button', { name: en.invite.make }).click();
  await invitationStands(ana, en);
  const link = await ana.getByLabel(en.invite.link).inputValue();
  await house.relay.end();
  await bo.getByLabel(ru.invitation.label).fill(link);
  await bo.getByRole('button', { name: ru.app.continue }).click();
  await bo.getByLabel(ru.start.nameLabel).fill('Bo');
  await bo.getByRole('button', { name: ru.start.go }).click();
  await expect(bo.getByText(ru.acceptance.saved.body)).toBeVisible();
  await expectAccessible(bo);
  await house.relayAgain(new URL(link).host);
  await expect(bo.getByText(ru.chat.waiting('Ana'))).toBeVisible({ timeout: 60_000 });
  expect(trouble).toEqual([]);
});

test('an invitation for everybody: made on one page, taken up on another, which has two relays more', async ({ browser, house }) => {
  const trouble: string[] = [];
  const [ana, bo] = [await window(browser, SIZES.desktop!, trouble), await window(browser, SIZES.phone!, trouble)];
  await startWithout(ana, (await house.daemon('ana', '--relay', house.route)).url);
  const routes = await Promise.all([1, 2, 3, 4].map((number) => house.anotherRelay(`given${number}`)));

  await ana.getByRole('button', { name: en.chats.invite }).first().click();
  await ana.getByRole('button', { name: en.publics.link }).click();
  await ana.getByRole('button', { name: en.publics.make, exact: true }).click();
  await ana.getByLabel(en.publics.relays).fill([...routes, house.route, routes[0]!.slice(0, -1)].join('\n'));
  await expect(ana.locator('.read li'), 'the page reads routes as core does').toHaveCount(2);
  await expect(ana.locator('.read li').first()).toContainText(en.publics.why.used);
  await ana.getByRole('button', { name: en.publics.leaveOut(2) }).click();
  await expect(ana.getByText(en.publics.plan(2, 2))).toBeVisible();
  await ana.getByRole('button', { name: en.invite.make }).click();
  await expect(ana.getByText(en.invite.thisComputer)).toBeVisible();
  await expect(ana.getByText(en.publics.state.preparing.body)).toHaveCount(0, { timeout: 15_000 });
  await expectAccessible(ana);
  const link = await ana.getByLabel(en.invite.link).inputValue();
  const today = await ana.locator('.plain code').allTextContents();
  expect(today).toHaveLength(2);

  await bo.goto((await house.daemon('bo')).url);
  await bo.getByRole('button', { name: en.start.haveInvitation }).click();
  await bo.getByLabel(en.invitation.label).fill(link);
  await bo.getByRole('button', { name: en.app.continue }).click();
  await bo.getByLabel(en.start.nameLabel).fill('Bo');
  await bo.getByRole('button', { name: en.start.go }).click();
  await expect(bo.getByText(en.acceptance.dealt.body)).toBeVisible({ timeout: 20_000 });
  await expectAccessible(bo);
  await bo.getByRole('button', { name: en.chats.later }).click();
  await expect(bo.locator('button.line')).toContainText(en.connection.connected.line, { timeout: 20_000 });
  await bo.locator('button.line').click();
  const given = bo.getByRole('dialog').locator('li', { hasText: en.connection.fromPublic });
  await expect(given).toHaveCount(2);
  expect((await given.locator('code').allTextContents()).sort()).toEqual([...today].sort());
  for (const at of [0, 1]) await expect(given.nth(at)).toContainText(en.connection.relayConnected, { timeout: 20_000 });
  await expect(given.filter({ hasText: en.connection.relayPrivate }), 'one for meeting people, one for contacts alone').toHaveCount(1);

  await ana.getByRole('button', { name: en.invite.revoke }).click();
  await ana.getByRole('dialog').getByRole('button', { name: en.invite.revoke }).click();
  await expect(ana.getByText(en.publics.state.closed.body)).toBeVisible();
  expect(trouble).toEqual([]);
});

test('a page without its secret is told to open Stonechat again', async ({ browser, house }) => {
  const trouble: string[] = [];
  const { url } = await house.daemon('ana', '--relay', house.route);
  const page = await window(browser, SIZES.phone!, trouble);
  await page.goto(url);
  await expect(page.getByRole('button', { name: en.start.without })).toBeVisible();
  const second = await window(browser, SIZES.phone!, []);
  await second.goto(url); // the token is used up
  await expect(second.getByRole('heading', { name: en.screens.noAccess.title })).toBeVisible();
  await second.goto(new URL('/', url).href);
  await expect(second.getByRole('heading', { name: en.screens.noAccess.title })).toBeVisible();
  expect(trouble).toEqual([]);
});

test('the program goes away and comes back: the page says so, and is in again by itself', async ({ browser, house }) => {
  const page = await window(browser, SIZES.desktop!, []);
  const { url, program } = await house.daemon('ana', '--relay', house.route);
  await page.goto(url);
  await page.getByRole('button', { name: en.start.without }).click();
  await page.getByLabel(en.start.nameLabel).fill('Ana');
  await page.getByRole('button', { name: en.start.go }).click();
  await expect(page.getByRole('heading', { name: en.chats.emptyTitle })).toBeVisible();
  await program.end();
  await expect(page.locator('button.line')).toContainText(en.connection.detached.line);
  await house.daemon('ana', '--relay', house.route, '--port', new URL(url).port);
  await expect(page.locator('button.line')).toContainText(en.connection.connected.line, { timeout: 20_000 });
  await page.getByRole('button', { name: en.settings.title }).click();
  await page.getByLabel(en.settings.name, { exact: true }).fill('Ana Maria');
  await page.getByRole('button', { name: en.app.save, exact: true }).click();
  await expect(page.getByText(en.contact.saved, { exact: true })).toBeVisible();
});

test('the demonstration: two profiles in one browser chat both ways, and neither enters the other', async ({ browser, house }) => {
  const { ana, bo } = await house.demo();
  const context = await browser.newContext(SIZES.desktop);
  const [left, right] = [await context.newPage(), await context.newPage()];
  await startWithout(left, ana);
  await left.getByRole('button', { name: en.chats.invite }).first().click();
  await left.locator('input[value=one]').check();
  await left.locator('input[value=plain]').check();
  await left.getByRole('button', { name: en.invite.make }).click();
  await invitationStands(left, en);
  const link = await left.getByLabel(en.invite.link).inputValue();

  await right.bringToFront();
  await right.goto(bo);
  await right.getByRole('button', { name: en.start.haveInvitation }).click();
  await right.getByLabel(en.invitation.label).fill(link);
  await right.getByRole('button', { name: en.app.continue }).click();
  await right.getByLabel(en.start.nameLabel).fill('Bo');
  await right.getByRole('button', { name: en.start.go }).click();
  await right.locator('textarea[aria-label]').fill('one way');
  await right.getByRole('button', { name: en.chat.send, exact: true }).click();

  await left.bringToFront();
  await left.locator('.chat', { hasText: 'Bo' }).click({ timeout: 20_000 });
  await expect(left.getByRole('article', { name: /one way/ })).toBeVisible({ timeout: 15_000 });
  await left.locator('textarea').fill('and the other');
  await left.getByRole('button', { name: en.chat.send, exact: true }).click();
  await expect(right.getByRole('article', { name: /and the other/ })).toBeVisible({ timeout: 15_000 });

  // The window of one at the address of the other: no secret there, no way in.
  await left.goto(new URL('/', bo).href);
  await expect(left.getByRole('heading', { name: en.screens.noAccess.title })).toBeVisible();
});

test('bad links, a passphrase, and destruction, with the real program', async ({ browser, house }) => {
  const trouble: string[] = [];
  const page = await window(browser, SIZES.desktop!, trouble);
  await page.goto((await house.daemon('ana', '--relay', house.route)).url);
  await page.getByRole('button', { name: en.start.without }).click();
  await page.getByLabel(en.start.nameLabel).fill('Ana');
  await page.getByRole('button', { name: en.start.go }).click();
  await page.locator('.empty').getByRole('button', { name: en.chats.accept }).click();
  const field = page.getByLabel(en.invitation.label);
  for (const [link, fault] of [['http://127.0.0.1:1/x#y', 'brokenLink'], [house.route, 'routeNotInvite'], ['stone:iAAAA', 'brokenLink']] as const) {
    await field.fill(link);
    await page.getByRole('button', { name: en.invitation.accept }).click();
    await expect(page.getByText(en.faults[fault])).toBeVisible();
  }
  await page.keyboard.press('Escape');

  await page.getByRole('button', { name: en.settings.title }).click();
  await page.getByRole('button', { name: en.settings.setPassphrase }).click();
  await page.getByLabel(en.settings.newPassphrase, { exact: true }).fill('several ordinary words');
  await page.getByLabel(en.settings.againPassphrase).fill('several ordinary words');
  await page.getByRole('button', { name: en.app.save, exact: true }).click();
  await expect(page.getByText(en.settings.passphraseDone)).toBeVisible({ timeout: 20_000 });
  await page.getByRole('button', { name: en.settings.lock }).click();
  await page.getByLabel(en.lock.passphrase).fill('wrong passphrase');
  await page.getByRole('button', { name: en.lock.unlock }).click();
  await expect(page.getByText(en.faults.wrongPassphrase)).toBeVisible({ timeout: 20_000 });
  await page.getByLabel(en.lock.passphrase).fill('several ordinary words');
  await page.getByRole('button', { name: en.lock.unlock }).click();
  await expect(page.getByRole('heading', { name: en.settings.title })).toBeVisible({ timeout: 20_000 });

  await page.getByRole('button', { name: en.settings.wipe }).click();
  await page.getByLabel(en.settings.wipeType(en.settings.wipeWord)).fill(en.settings.wipeWord);
  await page.getByRole('dialog').getByRole('button', { name: en.settings.wipeDo, exact: true }).click();
  await expect(page.getByRole('heading', { name: en.screens.wiped.title })).toBeVisible();
  expect(trouble).toEqual([]);
});

for (const days of [3, -400]) {
  test(`a clock ${days} days off is told, and the page is connected`, async ({ browser, house }) => {
    const trouble: string[] = [];
    const page = await window(browser, SIZES.phone!, trouble);
    const { url } = await house.troubled({ STONECHAT_LAB_CLOCK_MS: String(days * 86_400_000) }, 'ana', '--relay', house.route);
    await startWithout(page, url);
    await expect(page.getByText(en.connection.clock(Math.abs(days)))).toBeVisible({ timeout: 15_000 });
    await expectAccessible(page);
    expect(trouble).toEqual([]);
  });
}

test('a disk that fills up: told at the message and beside the chats, and tried again once there is room', async ({ browser, house }) => {
  const trouble: string[] = [];
  const ana = await window(browser, SIZES.desktop!, trouble);
  const bo = await window(browser, SIZES.phone!, trouble);
  const { url, program } = await house.daemon('ana', '--relay', house.route);
  const port = new URL(url).port;
  await startWithout(ana, url);
  await ana.getByRole('button', { name: en.chats.invite }).first().click();
  await ana.locator('input[value=one]').check();
  await ana.locator('input[value=plain]').check();
  await ana.getByRole('button', { name: en.invite.make }).click();
  await invitationStands(ana, en);
  const link = await ana.getByLabel(en.invite.link).inputValue();
  await bo.goto((await house.daemon('bo')).url);
  await bo.getByRole('button', { name: en.start.haveInvitation }).click();
  await bo.getByLabel(en.invitation.label).fill(link);
  await bo.getByRole('button', { name: en.app.continue }).click();
  await bo.getByLabel(en.start.nameLabel).fill('Bo');
  await bo.getByRole('button', { name: en.start.go }).click();
  await ana.locator('.chat', { hasText: 'Bo' }).click({ timeout: 20_000 });

  await program.end();
  await expect(ana.locator('button.line')).toContainText(en.connection.detached.line);
  trouble.length = 0; // the page tries to come back: refused connections are logged
  const full = await house.troubled({ STONECHAT_LAB_PAGES: '20' }, 'ana', '--relay', house.route, '--port', port);
  await expect(ana.locator('button.line')).toContainText(en.connection.connected.line, { timeout: 20_000 });
  const failed = ana.locator('p.failed');
  for (let n = 0; n < 20 && !(await failed.isVisible()); n += 1) {
    await ana.locator('textarea').fill(`${n} ${'x'.repeat(16_000)}`);
    await ana.getByRole('button', { name: en.chat.send, exact: true }).click();
    await expect(ana.locator('article', { hasText: `${n} x` }).last()).not.toHaveAttribute('data-state', 'sending');
  }
  await expect(failed).toBeVisible();
  await expect(failed).toContainText(en.faults.diskFull);
  await expect(ana.getByText(en.connection.diskFull)).toBeVisible();

  await full.program.end();
  await house.daemon('ana', '--relay', house.route, '--port', port);
  await expect(ana.locator('button.line')).toContainText(en.connection.connected.line, { timeout: 20_000 });
  await failed.getByRole('button').click();
  await ana.getByRole('button', { name: en.app.retry }).click();
  await expect(failed).toHaveCount(0);
  await expect(ana.locator('article').last()).toHaveAttribute('data-state', /delivered|read/, { timeout: 20_000 });
  await expect(ana.getByText(en.connection.diskFull)).toHaveCount(0);
});
