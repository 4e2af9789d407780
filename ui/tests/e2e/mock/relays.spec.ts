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

    test('why a relay does not answer is told to whoever asks', async ({ page, open }) => {
      await open({ scenario: 'talk', lang });
      await page.evaluate(() => {
        const { backend } = window.mock!;
        backend.setConnection('offline');
        backend.relays[0]!.tried = [
          { place: '192.0.2.7:8443', through: null, byBrowser: false, why: 'silent' },
          { place: 'relay.example:443', through: null, byBrowser: true, why: 'ended' },
          { place: 'relay.example:443', through: 'other.example:443', byBrowser: false, why: 'notPassedOn' },
          { place: 'relay.example:443', through: null, byBrowser: false, why: 'noName' },
        ];
        backend.emit({ kind: 'statusChanged' });
      });
      await page.getByRole('button', { name: words.connection.offline.line }).tap();
      const dialog = page.getByRole('dialog');
      await expect(dialog.getByText(words.connection.missed.noName)).toBeHidden();
      await dialog.getByText(words.connection.tried(4)).tap();
      for (const why of ['silent', 'ended', 'notPassedOn', 'noName'] as const) await expect(dialog.getByText(words.connection.missed[why])).toBeVisible();
      await expect(dialog.getByText(words.connection.triedThrough('other.example:443'))).toBeVisible();
      await expect(dialog.getByText(words.connection.triedByBrowser)).toBeVisible();
      await expectAccessibleIn(page, lang);
    });

    test('a further address says who said it and whether it is in use, and is given up', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/settings', lang });
      await page.evaluate(() => {
        window.mock!.backend.relays[0]!.ways = [
          { address: 'old.example:443', saidBy: null, inUse: false },
          { address: 'new.example:443', saidBy: 'Bo', inUse: true },
        ];
        window.mock!.backend.emit({ kind: 'statusChanged' });
      });
      await expect(page.getByText(words.connection.givenByYou, { exact: true })).toBeVisible();
      await expect(page.getByText(`${words.connection.saidBy('Bo')} · ${words.connection.inUse}`)).toBeVisible();
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: words.settings.giveUpOf('new.example:443') }).tap();
      await expectAccessibleIn(page, lang);
      await page.getByRole('dialog').getByRole('button', { name: words.settings.giveUp, exact: true }).tap();
      await expect(page.getByText(words.settings.givenUp)).toBeVisible();
      await expect(page.getByText('new.example:443')).toHaveCount(0);
      await expect(page.getByText('old.example:443')).toBeVisible();
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
        window.mock!.backend.relays.at(-1)!.fromPublic = true;
        window.mock!.backend.emit({ kind: 'statusChanged' });
      });
      await expect(page.getByText(words.connection.dealtTo('Bo, Cy'))).toBeVisible();
      await expect(page.getByText(words.connection.fromPublic)).toBeVisible();
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: words.settings.takeBackOf('192.0.2.7:4180') }).tap();
      await expectAccessibleIn(page, lang);
      await page.getByRole('dialog').getByRole('button', { name: words.settings.takeBack, exact: true }).tap();
      await expect(page.getByText(words.settings.takenBack)).toBeVisible();
      await expect(page.getByText('192.0.2.7:4180')).toHaveCount(0);
    });
  });
}
