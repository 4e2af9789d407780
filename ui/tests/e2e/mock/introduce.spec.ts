//! Introductions, cards, places, and what is said of somebody new.

import { PHONE, expect, expectAccessibleIn, test } from './page';
import { en } from '../../../src/i18n/en';
import { ru } from '../../../src/i18n/ru';

for (const [lang, words] of Object.entries({ en, ru }) as ['en' | 'ru', typeof en][]) {
  test.describe(`on a phone in ${lang}`, () => {
    test.use(PHONE);

    test('whoever is asked sees who vouches, says yes, and nothing happened before', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/chat/2', lang });
      await page.evaluate(() => {
        const { backend } = window.mock!;
        const vouches = [{ account: 'a1', name: 'Vera', knownBy: 'verified' as const, at: 1, verified: false }, { account: 'a2', name: 'Lena', knownBy: 'introduction' as const, at: 2, verified: true }];
        backend.peerSays(2, 'Cy', { kind: 'introduction', introduction: { account: 'c1', name: 'Cy', state: 'asked', vouches } });
      });
      const asked = page.getByRole('group', { name: words.introduce.title });
      await expect(asked.getByRole('listitem')).toHaveCount(2);
      await expect(asked.getByText(words.introduce.nothingYet)).toBeVisible();
      await expectAccessibleIn(page, lang);
      await asked.getByRole('button', { name: words.introduce.yes }).tap();
      await expect(asked.getByText(words.introduce.states.agreed)).toBeVisible();
      await expect(asked.getByRole('button')).toHaveCount(0);
    });

    test('two contacts are asked from the page of one, or a card is sent, and leads to the question', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/chat/2/contact', lang });
      const select = page.getByLabel(words.introduce.to);
      await select.selectOption({ index: 1 });
      await page.getByRole('button', { name: words.introduce.ask }).tap();
      await expect(page.getByText(words.introduce.asked)).toBeVisible();
      await expectAccessibleIn(page, lang);
      const to = await select.inputValue();
      await page.getByRole('button', { name: words.introduce.sendCard }).tap();
      await expect(page.getByRole('status').filter({ hasText: /./ }).first()).toBeVisible();
      expect(Number(to)).not.toBeNaN();
      await page.evaluate(() => {
        window.mock!.backend.peerSays(2, '', { card: { account: 'c1', name: 'Cy', chat: null, me: false } });
        location.hash = '#/chat/2';
      });
      const card = page.getByRole('group', { name: words.introduce.card('Cy') });
      await expect(card).toBeVisible();
      await expectAccessibleIn(page, lang);
      await card.getByRole('button').tap();
      await expect(page.locator('article').last()).toContainText(words.introduce.please('Cy'));
    });

    test('a place is asked for by a button only, shown before it goes, and opens no page', async ({ page, open, context }) => {
      await context.grantPermissions(['geolocation']);
      await context.setGeolocation({ latitude: -33.44556, longitude: 151.2, accuracy: 12 });
      await open({ scenario: 'talk', hash: '#/chat/2/contact', lang });
      await page.getByRole('button', { name: words.place.send, exact: true }).tap();
      await expect(page.getByText(words.place.explain)).toBeVisible();
      await page.getByRole('button', { name: words.place.ask }).tap();
      await expect(page.getByText('-33.44556, 151.20000')).toBeVisible();
      await page.getByLabel(words.place.label).fill('Pier');
      await expectAccessibleIn(page, lang);
      await page.locator('.card', { hasText: '-33.44556' }).locator('.cta').tap();
      const place = page.locator('article').last().getByRole('group', { name: words.place.title });
      await expect(place).toContainText('Pier');
      await expect(place.getByRole('link')).toHaveAttribute('href', 'geo:-33.44556,151.20000;u=12');
      await expectAccessibleIn(page, lang);
    });

    test('somebody new is looked at until it is put away', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/chat/2', lang });
      await page.evaluate(() => {
        const { backend } = window.mock!;
        const chat = backend.chats.get(2)!;
        backend.firstContact = { cameBy: 'groupLink', looksLike: 'Lena', mixedLetters: true };
        chat.isNew = true;
        backend.emit({ kind: 'chatChanged', chat: { ...chat } });
      });
      await expect(page.getByText(words.first.looksLike('Lena'))).toBeVisible();
      await expect(page.getByText(words.first.mixed)).toBeVisible();
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: words.first.understood }).tap();
      await expect(page.getByText(words.first.mixed)).toHaveCount(0);
    });
  });
}
