//! Messages that disappear: setting the timer, what stands in the chat of it, and a message that goes.

import { DESKTOP, expect, expectAccessible, expectAccessibleIn, PHONE, test } from './page';

test.describe('on a desktop', () => {
  test.use(DESKTOP);

  test('the timer is set with the contact, said in the chat, and its messages carry a mark until they go', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2/contact' });
    const select = page.getByLabel('Messages disappear');
    await select.selectOption('1 day after reading');
    const call = await page.evaluate(() => window.mock!.calls.filter(({ method }) => method === 'timer.set').at(-1)!.params);
    expect(call).toEqual({ chat: 2, seconds: 86_400 });
    await expectAccessible(page);
    await page.evaluate(() => (location.hash = '#/chat/2'));
    await expect(page.locator('article').last()).toContainText('You: messages disappear 1 day after they are read');
    await expect(page.locator('.head .timer')).toContainText('1 day');
    await page.locator('textarea').fill('until tomorrow');
    await page.keyboard.press('Enter');
    const sent = page.locator('article', { hasText: 'until tomorrow' });
    await expect(sent).toHaveAttribute('aria-label', /until tomorrow, disappearing/);
    await expectAccessible(page);
    await page.evaluate(() => window.mock!.backend.vanishes(window.mock!.backend.messages.get(2)!.at(-1)!.id));
    await expect(sent).toHaveCount(0);
    await page.evaluate(() => void window.mock!.backend.setsTimer(2, null, false));
    await expect(page.locator('article').last()).toContainText('messages stay from now on');
    await expect(page.locator('.head .timer')).toHaveCount(0);
  });

  test('what core does not let change says why and stays as it was', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2/contact' });
    await page.evaluate(() => window.mock!.backend.failing.set('timer.set', 'notAllowed'));
    const select = page.getByLabel('Messages disappear');
    await select.selectOption('1 hour after reading');
    await expect(page.getByRole('alert')).toBeVisible();
    await expect(select).toHaveValue('');
  });
});

for (const lang of ['en', 'ru'] as const) {
  test.describe(`on a phone in ${lang}`, () => {
    test.use(PHONE);

    test('timer, line and mark have no finding', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/chat/2/contact', lang });
      await page.locator('select').last().selectOption({ value: '604800' });
      await expectAccessibleIn(page, lang);
      await page.evaluate(() => (location.hash = '#/chat/2'));
      await expect(page.locator('article').last()).toContainText(lang === 'en' ? '1 week' : '1 неделя');
      await page.evaluate(() => void window.mock!.backend.peerSays(2, 'for a week'));
      await page.locator('article').last().locator('.bubble').tap();
      await expect(page.getByRole('dialog')).toContainText(lang === 'en' ? '1 week after reading' : 'После прочтения: 1 неделя');
      await expectAccessibleIn(page, lang);
    });
  });
}
