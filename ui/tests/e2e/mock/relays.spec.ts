//! Relays in the settings: adding one, a private one, a dead drop, and taking one back.

import { PHONE, expect, expectAccessibleIn, test } from './page';
import { en } from '../../../src/i18n/en';
import { ru } from '../../../src/i18n/ru';

for (const lang of ['en', 'ru'] as const) {
  const words = { en, ru }[lang];

  test.describe(`on a phone in ${lang}`, () => {
    test.use(PHONE);

    test('before a dead drop is added it is said what its provider sees', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/settings', lang });
      await page.getByRole('button', { name: words.settings.addRelay }).tap();
      await expect(page.getByText(words.settings.dropSeen)).toHaveCount(0);
      await page.getByLabel(words.settings.route).fill('davs://ana:sesame@dav.example/photos');
      await expect(page.getByText(words.settings.dropSeen)).toBeVisible();
      await expect(page.getByText(words.settings.dropMail)).toHaveCount(0);
      await page.getByLabel(words.settings.route).fill('imaps://ana:sesame@mail.example/stones');
      await expect(page.getByText(words.settings.dropMail)).toBeVisible();
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: words.settings.add, exact: true }).tap();
      await expect(page.getByText(words.settings.relayAdded)).toBeVisible();
      await expect(page.getByText('mail.example/stones')).toBeVisible();
      await expect(page.getByText('sesame')).toHaveCount(0);
    });

    test('a private relay says to whom it was given, and is taken back', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/settings', lang });
      await page.getByRole('button', { name: words.settings.addRelay }).tap();
      await page.getByLabel(words.settings.route).fill('stone:rAAAABBBBCCCC');
      await page.getByLabel(words.settings.private).check();
      await page.getByRole('button', { name: words.settings.add, exact: true }).tap();
      await expect(page.getByText(words.connection.relayPrivate)).toBeVisible();
      await expect(page.getByText(words.connection.relayNever).last()).toBeVisible();
      await page.evaluate(() => {
        window.mock!.backend.relays.at(-1)!.dealtTo = ['Bo', 'Cy'];
        window.mock!.backend.emit({ kind: 'statusChanged' });
      });
      await expect(page.getByText(words.connection.dealtTo('Bo, Cy'))).toBeVisible();
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: words.settings.takeBackOf('192.0.2.7:4180') }).tap();
      await expectAccessibleIn(page, lang);
      await page.getByRole('dialog').getByRole('button', { name: words.settings.takeBack, exact: true }).tap();
      await expect(page.getByText(words.settings.takenBack)).toBeVisible();
      await expect(page.getByText('192.0.2.7:4180')).toHaveCount(0);
    });
  });
}
