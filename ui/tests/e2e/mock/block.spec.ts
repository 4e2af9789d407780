//! Blocking somebody, and letting them in again.

import { PHONE, expect, expectAccessibleIn, test } from './page';

for (const lang of ['en', 'ru'] as const) {
  const words = {
    en: { block: 'Block', title: 'Blocked people', unblock: /^Unblock / },
    ru: { block: 'Заблокировать', title: 'Заблокированные', unblock: /^Разблокировать: / },
  }[lang];

  test.describe(`on a phone in ${lang}`, () => {
    test.use(PHONE);

    test('whoever is blocked is gone from the chats, and comes back from the settings', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/chat/2/contact', lang });
      const name = await page.locator('h2 bdi').innerText();
      await page.getByRole('button', { name: words.block, exact: true }).tap();
      await expectAccessibleIn(page, lang);
      await page.getByRole('dialog').getByRole('button', { name: words.block, exact: true }).tap();
      await expect(page).toHaveURL(/#\/$/);
      await expect(page.locator('.chat', { hasText: name })).toHaveCount(0);
      await page.evaluate(() => (location.hash = '#/settings'));
      await expect(page.getByText(words.title)).toBeVisible();
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: words.unblock }).tap();
      await expect(page.getByText(words.title)).toHaveCount(0);
      await page.evaluate(() => (location.hash = '#/'));
      await expect(page.locator('.chat', { hasText: name })).toHaveCount(1);
    });
  });
}
