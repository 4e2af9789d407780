//! With no network: what waits goes into a file, and a file is taken in.

import { readFileSync } from 'node:fs';
import { en } from '../../../src/i18n/en';
import { ru } from '../../../src/i18n/ru';
import { PHONE, expect, expectAccessibleIn, test } from './page';

const LANGUAGES = { en, ru };

for (const [lang, words] of Object.entries(LANGUAGES) as ['en' | 'ru', typeof en][]) {
  test.describe(`on a phone in ${lang}`, () => {
    test.use(PHONE);

    test('a file goes out and comes in, and a damaged one is said to be', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/settings', lang });
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: words.bundle.make }).tap()]);
      expect(download.suggestedFilename()).toMatch(/^stonechat-\d{4}-\d\d-\d\d$/);
      await expect(page.getByText(words.bundle.made(2))).toBeVisible();
      const bytes = readFileSync(await download.path());
      const take = async (buffer: Buffer): Promise<void> => {
        const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.getByRole('button', { name: words.bundle.take }).tap()]);
        await chooser.setFiles({ name: 'stick', mimeType: 'application/octet-stream', buffer });
      };
      await take(bytes);
      await expect(page.getByText(words.bundle.taken(1))).toBeVisible();
      await take(bytes.subarray(1));
      await expect(page.getByRole('alert')).toHaveText(words.faults.brokenBundle);
      await expectAccessibleIn(page, lang);
    });
  });
}
