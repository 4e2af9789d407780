//! Invitations for everybody: made, published, traced, closed; and what a newcomer sees who takes one up.

import { DESKTOP, PHONE, expect, expectAccessibleIn, test } from './page';
import { route, routes } from '../../unit/made';
import type { UiFault } from '../../../src/core/faults';
import { en } from '../../../src/i18n/en';
import { ru } from '../../../src/i18n/ru';

const DAY = 86_400_000;

for (const lang of ['en', 'ru'] as const) {
  const words = { en, ru }[lang];
  const p = words.publics;

  test.describe(`on a phone in ${lang}`, () => {
    test.use(PHONE);

    test('from the invite screen to one that is open', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/invite', lang });
      await page.getByRole('button', { name: p.link }).tap();
      await expect(page.getByText(p.none)).toBeVisible();
      await page.getByRole('button', { name: p.make, exact: true }).tap();
      await expect(page.getByText(p.host), 'what it costs is said first').toBeVisible();
      await expect(page.getByText('127.0.0.1:4180'), 'and where it will stand').toBeVisible();
      const given = await routes(14);
      await page.getByLabel(p.relays).fill(given.join('\n'));
      await expect(page.getByText(p.count(14))).toBeVisible();
      await expect(page.getByLabel(p.days, { exact: true })).toHaveValue('7');
      await expect(page.getByText(p.plan(2, 7))).toBeVisible();
      await expect(page.getByText(p.spread.once)).toBeVisible();
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: words.invite.make }).tap();
      await expect(page.getByText(p.state.preparing.body)).toBeVisible();
      await expect(page.getByText(p.state.preparing.body)).toHaveCount(0);
      await expect(page.locator('.qr')).toBeVisible();
      await expect(page.getByText(words.invite.thisComputer)).toBeVisible();
      await expect(page.getByText(p.daysLeft(7))).toBeVisible();
      expect(await page.evaluate(() => window.mock!.calls.find(({ method }) => method === 'public.create')?.params)).toEqual({ routes: given, days: 7, aDay: null });
      await page.getByRole('button', { name: words.app.back }).tap();
      await expect(page.getByText(new RegExp(p.daysLeft(7), 'i'))).toBeVisible();
    });

    test('lines that do not do are told by number and reason, and left out by one press', async ({ page, open }) => {
      await open({ scenario: 'public', hash: '#/public/new', lang });
      const good = await routes(5);
      const lines = ['hello', ...good, good[1], good[0]!.slice(0, -2), await route(7, '127.0.0.1:1'), await route(8, 'davs://a:b@dav.example:443/x'), 'stone:iAQABAAAA'];
      await page.getByLabel(p.relays).fill(lines.join('\n'));
      const told = page.locator('.read li');
      await expect(told).toHaveText([
        `${p.line(1)}: ${p.why.notRoute}`,
        `${p.line(7)} https://relay2.example:443: ${p.twice(3)}`,
        `${p.line(8)}: ${p.why.broken}`,
        `${p.line(9)} 127.0.0.1:1: ${p.why.near}`,
        `${p.line(10)}: ${p.why.drop}`,
      ]);
      await expect(page.getByText(p.moreWrong(1))).toBeVisible();
      await expect(page.getByLabel(p.relays)).toHaveAttribute('aria-invalid', 'true');
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: words.invite.make }).tap();
      await expect(page.getByLabel(p.relays), 'nothing is made, and the field is gone to').toBeFocused();
      expect(await page.evaluate(() => window.mock!.calls.some(({ method }) => method === 'public.create'))).toBe(false);
      await page.getByRole('button', { name: p.leaveOut(6) }).tap();
      await expect(page.getByLabel(p.relays)).toHaveValue(good.join('\n'));
      await expect(told).toHaveCount(0);
      await expect(page.getByText(p.count(5))).toBeVisible();
    });

    test('too few, too many; days and pairs that do not do', async ({ page, open }) => {
      await open({ scenario: 'public', hash: '#/public/new', lang });
      const make = page.getByRole('button', { name: words.invite.make });
      const [field, days, pairs] = [page.getByLabel(p.relays), page.getByLabel(p.days, { exact: true }), page.getByLabel(p.pairs)];
      await make.tap();
      await expect(field).toBeFocused();
      await expect(page.getByText(p.few(0))).toBeVisible();
      await field.fill((await routes(65)).join('\n'));
      await expect(page.getByText(p.many(65))).toBeVisible();
      await field.fill((await routes(20)).join('\n'));
      await expect(page.getByText(p.plan(2, 10))).toBeVisible();
      for (const bad of ['0', '61', 'x', '']) {
        await days.fill(bad);
        await expect(page.getByText(p.badDays)).toBeVisible();
        await make.tap();
        await expect(days).toBeFocused();
      }
      await expectAccessibleIn(page, lang);
      await days.fill('60');
      await expect(page.getByText(p.spread.again)).toBeVisible();
      await pairs.fill('5');
      await expect(page.getByText(p.spread.tooMany)).toBeVisible();
      await make.tap();
      await expect(pairs).toBeFocused();
      await pairs.fill('none');
      await expect(page.getByText(p.badPairs)).toBeVisible();
      await days.fill('3');
      await pairs.fill('2');
      await expect(page.getByText(p.left(8))).toBeVisible();
      await expectAccessibleIn(page, lang);
      expect(await page.evaluate(() => window.mock!.calls.some(({ method }) => method === 'public.create'))).toBe(false);
      await make.tap();
      await expect(page.locator('.qr')).toBeVisible();
      expect(await page.evaluate(() => window.mock!.calls.find(({ method }) => method === 'public.create')?.params)).toMatchObject({ days: 3, aDay: 2 });
    });

    const FAULTS: Partial<Record<UiFault, string>> = { ...p.faults, notHome: words.faults.notHome, stillLooking: words.faults.stillLooking, diskFull: words.faults.diskFull, internal: words.faults.internal };
    for (const [fault, sentence] of Object.entries(FAULTS)) {
      test(`${fault} is said, and what was pasted stays`, async ({ page, open }) => {
        await open({ scenario: 'public', hash: '#/public/new', lang });
        const given = (await routes(4)).join('\n');
        await page.getByLabel(p.relays).fill(given);
        await expect(page.getByText(p.count(4))).toBeVisible();
        await page.evaluate((kind) => void window.mock!.backend.failing.set('public.create', kind as UiFault), fault);
        await page.getByRole('button', { name: words.invite.make }).tap();
        await expect(page.getByRole('alert')).toHaveText(sentence);
        await expect(page.getByLabel(p.relays)).toHaveValue(given);
        await expectAccessibleIn(page, lang);
      });
    }

    test('with nowhere to stand it says what is missing, until a relay has answered', async ({ page, open }) => {
      await open({ scenario: 'alone', hash: '#/public/new', lang });
      await expect(page.getByText(p.noDoor)).toBeVisible();
      await expect(page.getByLabel(p.relays)).toHaveCount(0);
      const add = (change: object): Promise<void> =>
        page.evaluate((change) => {
          const { backend } = window.mock!;
          backend.relays = [{ id: '9'.repeat(32), address: 'stone.example:443', own: true, connected: true, through: false, withholds: false, private: false, answeredAt: 1, fromPublic: false, dealtTo: [], ways: [], tried: [], ...change }];
          backend.emit({ kind: 'statusChanged' });
        }, change);
      for (const change of [{ private: true }, { own: false }, { connected: false, answeredAt: null }, { address: 'davs://dav.example:443/x' }]) {
        await add(change);
        await page.waitForTimeout(200); // the status is read again
        await expect(page.getByText(p.noDoor), JSON.stringify(change)).toBeVisible();
      }
      await add({ connected: false });
      await expect(page.getByLabel(p.relays)).toBeVisible();
      await expect(page.getByText(p.offline), 'no relay is reached now').toBeVisible();
      await expectAccessibleIn(page, lang);
    });

    test('four are open: there is no fifth until one is closed', async ({ page, open }) => {
      await open({ scenario: 'public', hash: '#/public', lang });
      const make = page.getByRole('button', { name: p.make, exact: true });
      await expect(make).toBeVisible();
      await page.evaluate(() => {
        const { backend } = window.mock!;
        for (let n = 0; n < 3; n += 1) backend.emit({ kind: 'publicChanged', invite: backend.makePublic(['a:1', 'b:1', 'c:1', 'd:1'], 2, 1) });
      });
      await expect(page.getByText(p.most)).toBeVisible();
      await expect(make).toHaveCount(0);
      await expectAccessibleIn(page, lang);
      await page.locator('.item').first().tap();
      await page.getByRole('button', { name: words.invite.revoke }).tap();
      await expect(page.getByRole('dialog')).toContainText(p.closeBody);
      await page.getByRole('button', { name: words.app.cancel }).tap();
      await expect(page.locator('.qr'), 'nothing is closed by asking').toBeVisible();
      await page.getByRole('button', { name: words.invite.revoke }).tap();
      await page.getByRole('dialog').getByRole('button', { name: words.invite.revoke }).tap();
      await expect(page.getByText(p.state.closed.body)).toBeVisible();
      await expect(page.locator('.page h1')).toBeFocused();
      await expect(page.locator('.qr')).toHaveCount(0);
      await page.getByRole('button', { name: words.app.back }).tap();
      await expect(make).toBeVisible();
    });

    test('which relay was given out on which day', async ({ page, open }) => {
      await open({ scenario: 'public', hash: '#/public', lang });
      await page.locator('.item').first().tap();
      await expect(page.getByText(p.now)).toBeVisible();
      await expect(page.locator('.plain code')).toHaveText(['https://weather-5.example:443', '203.0.113.15:8443']);
      await page.getByText(p.trace).tap();
      const date = (day: number): string => new Intl.DateTimeFormat(lang === 'en' ? 'en-GB' : 'ru', { day: 'numeric', month: 'long' }).format(new Date(2026, 10, 20 + day));
      const bakery = page.locator('.given li', { hasText: 'bakery-2.example' });
      await expect(bakery).toContainText(date(0));
      await expect(page.locator('.given li', { hasText: 'weather-5' })).toContainText(`${date(2)} (${p.today})`);
      await expect(page.locator('.given li')).toHaveCount(14);
      await page.locator('label', { hasText: p.byDay }).tap();
      await expect(page.locator('.given li').first()).toContainText('bakery-2.example');
      await expect(page.locator('.given li')).toHaveCount(14);
      await expect(page.locator('.given li').nth(2)).toContainText(`${date(2)} (${p.today})`);
      await expect(page.locator('.given li').nth(7), 'more days than relays: they come again').toContainText('garden-1.example');
      await expectAccessibleIn(page, lang);
    });

    test('getting ready without a relay, over, closed, and how far it reaches', async ({ page, open }) => {
      await open({ scenario: 'public', hash: '#/public', connection: 'offline', lang });
      await page.locator('.item').first().tap();
      const change = (to: object): Promise<void> => page.evaluate((to) => window.mock!.backend.changePublic([...window.mock!.backend.publics.keys()].at(-1)!, to), to);
      await change({ state: 'preparing' });
      await expect(page.getByText(p.preparingOffline)).toBeVisible();
      await change({ state: 'open', reach: 'localNetwork' });
      await expect(page.getByText(p.preparingOffline)).toHaveCount(0);
      await expect(page.getByText(words.invite.localNetwork)).toBeVisible();
      for (const [state, standing] of [['expired', 'over'], ['revoked', 'closed']] as const) {
        await change({ state });
        await expect(page.getByText(p.state[standing].body)).toBeVisible();
        await expect(page.getByText(p.now), 'nothing is given out any more').toHaveCount(0);
        await expect(page.getByText(p.trace), 'and what was can be looked up').toBeVisible();
        await expect(page.getByRole('button', { name: words.invite.revoke })).toHaveCount(0);
      }
    });

    test('a linked device makes none, and is told who does', async ({ page, open }) => {
      await open({ scenario: 'talk', lang });
      await page.evaluate(() => { window.mock!.backend.home = false; window.mock!.backend.emit({ kind: 'statusChanged' }); });
      await page.evaluate(() => (location.hash = '#/invite'));
      await expect(page.getByRole('button', { name: words.invite.make })).toBeVisible();
      await expect(page.getByRole('button', { name: p.link })).toHaveCount(0);
      for (const hash of ['#/public', '#/public/new']) {
        await page.evaluate((to) => (location.hash = to), hash);
        await expect(page.getByText(words.faults.notHome)).toBeVisible();
        await expect(page.getByRole('button', { name: p.make, exact: true })).toHaveCount(0);
        await expect(page.getByLabel(p.relays)).toHaveCount(0);
      }
    });

    test('a newcomer who was given relays meanwhile is told once', async ({ page, open }) => {
      await open({ scenario: 'alone', accept: 'dealt', lang });
      await page.getByRole('button', { name: words.chats.accept }).tap();
      await page.getByLabel(words.invitation.label).fill('http://198.51.100.7:4180/x#c29tZWJvZHkgZWxzZQ');
      await page.getByRole('button', { name: words.invitation.accept }).tap();
      await page.getByRole('button', { name: words.app.back }).tap();
      await page.locator('.chat', { hasText: words.acceptance.dealt.title }).tap();
      await expect(page.getByText(words.acceptance.dealt.body)).toBeVisible();
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: words.chats.accept }).tap();
      await expect(page.getByRole('dialog').getByLabel(words.invitation.label)).toBeVisible();
      await page.keyboard.press('Escape');
      await expect(page.locator('.chat')).toHaveCount(0);
    });

    test('a newcomer without room is led to the relays', async ({ page, open }) => {
      await open({ scenario: 'talk', accept: 'noRoom', hash: '#/invite', lang });
      await page.getByRole('button', { name: words.chats.accept }).tap();
      await page.getByLabel(words.invitation.label).fill('http://198.51.100.7:4180/x#c29tZWJvZHkgZWxzZQ');
      await page.getByRole('button', { name: words.invitation.accept }).tap();
      await expect(page.getByText(words.acceptance.failed.noRoom.body)).toBeVisible();
      await page.getByRole('button', { name: words.acceptance.toRelays }).tap();
      await expect(page.getByRole('heading', { name: words.settings.relays })).toBeVisible();
    });
  });
}

test.describe('at a desk', () => {
  test.use(DESKTOP);

  test('made by keyboard alone', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/public/new' });
    await expect(page.locator('.page h1')).toBeFocused();
    await page.keyboard.press('Tab');
    await expect(page.getByLabel(en.publics.relays)).toBeFocused();
    await page.keyboard.insertText((await routes(6)).join('\n'));
    await page.keyboard.press('Tab');
    await expect(page.getByLabel(en.publics.days, { exact: true })).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(page.locator('.qr')).toBeVisible();
    await expect(page.locator('.page h1')).toBeFocused();
  });

  test('what is copied is no secret: it stays in the clipboard', async ({ page, open, context }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.clock.install();
    await open({ scenario: 'public', hash: '#/public' });
    await page.locator('.item').first().click();
    const invite = await page.evaluate(() => [...window.mock!.backend.publics.values()].at(-1)!);
    const clipboard = (): Promise<string> => page.evaluate(() => navigator.clipboard.readText());
    await page.getByRole('button', { name: en.app.copy, exact: true }).click();
    await expect(page.getByText(en.publics.copied)).toBeVisible();
    await expect.poll(clipboard).toBe(invite.link);
    await page.getByRole('button', { name: en.publics.copyCode }).click();
    await expect.poll(clipboard).toBe(invite.code);
    await page.clock.runFor(DAY / 24);
    expect(await clipboard()).toBe(invite.code);
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: en.invite.savePicture }).click()]);
    expect(file.suggestedFilename()).toBe('stonechat.png');
  });

  test('where there is a share sheet it comes first', async ({ page, open }) => {
    await page.addInitScript(() => {
      navigator.share = async (data) => void ((window as unknown as { shared: unknown }).shared = data);
    });
    await open({ scenario: 'public', hash: '#/public' });
    await page.locator('.item').first().click();
    await page.getByRole('button', { name: en.invite.share }).click();
    await expect.poll(() => page.evaluate(() => (window as unknown as { shared?: { text: string } }).shared?.text)).toContain('http://stone.example:443/');
  });

  test('they are found from the list of invitations, and come back after a reload', async ({ page, open }) => {
    await open({ scenario: 'public', hash: '#/invites' });
    await page.getByRole('button', { name: en.publics.title }).click();
    await page.locator('.item').first().click();
    await expect(page).toHaveURL(/#\/public\/[0-9a-f]{32}$/);
    await page.reload();
    await expect(page.locator('.qr')).toBeVisible();
    await page.goto(page.url().replace(/#.*/, '#/public/ffff'));
    await expect(page.getByText(en.faults.notFound)).toBeVisible();
  });
});
