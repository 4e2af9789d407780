import { en } from '../../../src/i18n/en';
import { ru } from '../../../src/i18n/ru';
import { expect, expectAccessible, PHONE, test } from './page';

// An account comes back from its words and an entrance: what is asked for, and what is said meanwhile.
const WORDS = Array.from({ length: 24 }, () => 'stone').join(' ');

for (const [lang, words] of Object.entries({ en, ru }) as ['en' | 'ru', typeof en][]) {
  test.describe(lang, () => {
    test.use(PHONE);

    test('words and an entrance, by keyboard, until it is found', async ({ page, open, mock }) => {
      await open({ scenario: 'fresh', lang });
      await page.getByRole('button', { name: lang === 'ru' ? 'Русский' : 'English' }).click();
      await page.getByRole('button', { name: words.start.haveWords }).press('Enter');
      await page.getByLabel(words.start.wordsLabel).fill(WORDS);
      await expect(page.getByLabel(words.start.nameLabel)).toBeVisible();
      await page.getByLabel(words.start.doorLabel).fill('hello');
      await expect(page.getByLabel(words.start.nameLabel)).toHaveCount(0);
      await page.getByLabel(words.start.doorLabel).press('Enter');
      await expect(page.getByRole('alert')).toHaveText(words.faults.brokenLink);
      await expectAccessible(page);
      await page.getByLabel(words.start.doorLabel).fill('stone:rAbCdEf');
      await page.getByRole('button', { name: words.start.restore }).press('Enter');
      await expect(page.getByText(words.chats.lookingTitle)).toBeVisible();
      await expectAccessible(page);
      await mock(({ backend }) => {
        backend.me = { id: 'a'.repeat(64), name: 'Ana' };
        backend.restoring = { state: 'found', madeAt: backend.now(), leftOut: 0, people: 1, groups: 0 };
        const chat = backend.addContact('Bo', { verified: true });
        chat.comingBack = true;
        backend.emit({ kind: 'statusChanged' });
        backend.emit({ kind: 'chatChanged', chat });
      });
      await expect(page.getByText(words.chats.lookingTitle)).toHaveCount(0);
      await expect(page.getByText(words.chats.comingBack)).toBeVisible();
      await expectAccessible(page);
      await page.evaluate(() => void (location.hash = '#/chat/1'));
      await expect(page.getByText(words.chat.comingBack('Bo'))).toBeVisible();
      await expectAccessible(page);
    });

    test('a spent invitation, and going on without', async ({ page, open, mock }) => {
      await open({ scenario: 'restored', lang });
      await mock(({ backend }) => {
        backend.restoring = { state: 'doorSpent', madeAt: null, leftOut: 0, people: 0, groups: 0 };
        backend.emit({ kind: 'statusChanged' });
      });
      await expect(page.getByText(words.chats.doorSpentBody)).toBeVisible();
      await expectAccessible(page);
      await page.getByRole('button', { name: words.chats.goOn }).click();
      await expect(page.getByText(words.chats.restoredBody)).toBeVisible();
    });

    test('an account that lives elsewhere, and a contact with a new device', async ({ page, open, mock }) => {
      await open({ scenario: 'talk', lang });
      await mock(({ backend }) => {
        backend.revoked = true;
        backend.emit({ kind: 'statusChanged' });
        backend.place(backend.chats.get(2)!, '', { kind: 'newDevice' });
      });
      await expect(page.getByRole('alert')).toContainText(words.chats.revokedTitle);
      await expectAccessible(page);
      await page.evaluate(() => void (location.hash = '#/chat/2'));
      const name = lang === 'ru' ? 'Мама' : 'Mum';
      await expect(page.getByText(words.chat.newDevice(name)).last()).toBeVisible();
      await expectAccessible(page);
    });
  });
}
