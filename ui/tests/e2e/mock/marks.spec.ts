//! Marked texts, mentions, pins, polls and what is forwarded.

import { DESKTOP, expect, expectAccessible, expectAccessibleIn, openNewest, PHONE, test } from './page';

const field = 'textarea';

test.describe('on a desktop', () => {
  test.use(DESKTOP);

  test('signs by keyboard become marks; an edit gives them back', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await page.locator(field).fill('see you');
    await page.locator(field).press('Control+a');
    await page.keyboard.press('Control+b');
    await expect(page.locator(field)).toHaveValue('**see you**');
    await page.locator(field).press('End');
    await page.keyboard.type(' at https://a.example/b');
    await page.keyboard.press('Enter');
    const last = page.locator('article').last();
    await expect(last.locator('strong')).toHaveText('see you');
    const link = last.getByRole('link');
    await expect(link).toHaveText('https://a.example/b');
    await expect(link).toHaveAttribute('href', 'https://a.example/b');
    await expect(link).toHaveAttribute('rel', 'noopener noreferrer');
    await expectAccessible(page);
    await last.press('Enter');
    await page.getByRole('button', { name: 'Edit', exact: true }).click();
    await expect(page.locator(field)).toHaveValue('**see you** at https://a.example/b');
    await page.locator(field).fill('`see` you');
    await page.keyboard.press('Enter');
    await expect(last.locator('code')).toHaveText('see');
  });

  test('a spoiler is in no preview and not in the page until it is asked for', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/4' });
    await page.evaluate(() => {
      const { backend } = window.mock!;
      const hidden = { kind: 'text' as const, text: 'she leaves', inside: [], mention: null };
      backend.peerSays(4, 'in the end she leaves', { format: [{ ...hidden, text: 'in the end ' }, { kind: 'spoiler', text: '', inside: [hidden], mention: null }] });
    });
    const last = page.locator('article').last();
    await expect(last).toHaveAttribute('aria-label', /in the end hidden text/);
    await expect(page.locator('.side')).toContainText('in the end ▒▒▒ ▒▒▒▒▒▒');
    await expect(page.locator('[aria-live]').filter({ hasText: 'hidden text' })).toHaveCount(1);
    expect(await page.locator('body').innerText()).not.toContain('she leaves');
    await expectAccessible(page);
    await last.getByRole('button', { name: 'Hidden text. Show it' }).press('Enter');
    await expect(last.locator('.text')).toContainText('in the end she leaves');
  });

  test('names are offered behind an @, and whoever is meant sees it in the list', async ({ page, open }) => {
    await open({ scenario: 'group', hash: '#/chat/8' });
    await page.locator(field).click();
    await page.keyboard.type('ask @Pa');
    await page.getByRole('group', { name: 'Mention someone' }).getByRole('button', { name: '@Pavel' }).click();
    await expect(page.locator(field)).toHaveValue('ask @Pavel ');
    await expect(page.locator(field)).toBeFocused();
    await page.locator(field).fill('@a');
    await expect(page.getByRole('button', { name: '@all' })).toBeVisible();
    await expectAccessible(page);
    await page.evaluate(() => {
      const text = '@all come';
      const mention = { kind: 'mention' as const, text: '@all', inside: [], mention: { account: null, name: '', me: true } };
      window.mock!.backend.peerSays(2, text, { mentionsMe: true, format: [mention, { kind: 'text', text: ' come', inside: [], mention: null }] });
    });
    await expect(page.locator('.side .chat', { hasText: '@all come' }).locator('.badge')).toContainText('@');
    await expectAccessible(page);
  });

  test('a pin stands on top and leads to its message', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/1' });
    const first = page.locator('article', { hasText: 'Слышно хорошо' });
    await first.press('Enter');
    await page.getByRole('button', { name: 'Pin for everyone' }).click();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: '1 pinned message' }).click();
    await expectAccessible(page);
    await page.getByRole('dialog').getByRole('button', { name: /Слышно хорошо/ }).click();
    await expect(first).toHaveClass(/flash/);
    await first.press('Enter');
    await page.evaluate(() => window.mock!.backend.failing.set('pin', 'notAllowed'));
    await page.getByRole('button', { name: 'Unpin for everyone' }).click();
    await expect(page.getByRole('alert')).toBeVisible();
    await page.getByRole('button', { name: 'Unpin for everyone' }).click();
    await page.keyboard.press('Escape');
    await expect(page.getByRole('button', { name: '1 pinned message' })).toHaveCount(0);
  });

  test('what is forwarded goes to another chat, its author named only where that is wanted', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    for (const [named, words] of [[false, 'Forwarded'], [true, 'Forwarded from \u2068Mum\u2069']] as const) {
      await page.evaluate(() => (location.hash = '#/chat/2'));
      await expect(page.locator('.head')).toContainText('Mum'); // the chat that it was forwarded to has one of the same text
      await openNewest(page, 'The photos');
      await page.getByRole('button', { name: 'Forward', exact: true }).click();
      if (named) await page.getByLabel('Say who wrote it').check();
      await page.getByLabel('Find a chat').fill('and');
      await expectAccessible(page);
      await page.getByRole('list', { name: 'Forward to' }).getByRole('button', { name: 'Andry' }).click();
      await expect(page.locator('article').last().locator('.forwarded')).toHaveText(words);
    }
    expect(await page.evaluate(() => window.mock!.calls.filter(({ method }) => method === 'forward').map(({ params }) => (params as { named: boolean }).named))).toEqual([false, true]);
  });
});

test.describe('writing', () => {
  test.use(DESKTOP);

  test('is told while somebody types, and over when their message comes', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    const writes = (): Promise<void> => page.evaluate(() => {
      const { backend } = window.mock!;
      backend.emit({ kind: 'typing', chat: 2, account: backend.chats.get(2)!.contact, name: 'Mum', at: Date.now() });
    });
    await writes();
    await expect(page.locator('.head .sub')).toContainText('Mum\u2069 is writing…');
    await expectAccessible(page);
    await page.evaluate(() => void window.mock!.backend.peerSays(2, 'there it is'));
    await expect(page.locator('.head .sub')).not.toContainText('writing');
    await page.locator(field).pressSequentially('I am writing too');
    await expect.poll(() => page.evaluate(() => window.mock!.calls.filter(({ method }) => method === 'typing').length)).toBe(1);
  });
});

test.describe('saved messages', () => {
  test.use(DESKTOP);

  test('keep what is saved and what is written there', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/settings' });
    await page.getByRole('button', { name: 'Saved messages' }).click();
    await expect(page.getByRole('heading', { name: /Saved messages/ })).toBeVisible();
    await expectAccessible(page);
    await page.locator(field).fill('buy tea');
    await page.keyboard.press('Enter');
    await page.evaluate(() => (location.hash = '#/chat/2'));
    await openNewest(page, 'The photos');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await expect(page.getByRole('button', { name: 'Saved', exact: true })).toBeDisabled();
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    await page.locator('.side .chat', { hasText: 'Saved messages' }).click();
    await expect(page.locator('article').last()).toContainText('Forwarded from');
    await expect(page.locator('article')).toHaveCount(2);
  });
});

test.describe('on a phone', () => {
  test.use(PHONE);

  test('a poll is asked, answered, changed and ended', async ({ page, open }) => {
    await open({ scenario: 'group', hash: '#/chat/8/contact', lang: 'ru' });
    await page.getByRole('button', { name: 'Задать вопрос' }).tap();
    await page.getByLabel('Вопрос').fill('Когда едем?');
    await page.getByLabel('Вариант 1').fill('в семь');
    await page.getByRole('button', { name: 'Отправить опрос' }).isDisabled();
    await page.getByLabel('Вариант 2').fill('в восемь');
    await expectAccessibleIn(page, 'ru');
    await page.getByRole('button', { name: 'Отправить опрос' }).tap();
    const last = page.locator('article').last();
    await last.getByRole('button', { name: 'в семь, 0 голосов' }).tap();
    await page.evaluate(() => void window.mock!.backend.votes(window.mock!.backend.messages.get(8)!.at(-1)!.id, [1], 'Лена', false));
    await last.getByRole('button', { name: /^в восемь/ }).tap();
    await expect(last.getByRole('button', { name: 'в восемь, 2 голоса: Лена, Аня' })).toHaveAttribute('aria-pressed', 'true');
    await expect(last).toContainText('Проголосовали 2 человека');
    await expectAccessibleIn(page, 'ru');
    await last.locator('.bubble .text').tap();
    await expect(page.getByRole('button', { name: 'Изменить', exact: true })).toHaveCount(0);
    await page.getByRole('button', { name: 'Завершить опрос' }).tap();
    await page.keyboard.press('Escape');
    await expect(last).toContainText('Опрос завершён');
    await expect(last.getByRole('button', { name: /^в семь/ })).toBeDisabled();
    await expectAccessibleIn(page, 'ru');
  });
});
