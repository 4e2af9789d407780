//! Answering, liking, editing and deleting a message: by mouse, by keyboard and by touch.

import { DESKTOP, expect, expectAccessible, openNewest, PHONE, test } from './page';

const field = 'textarea';

test.describe('on a desktop', () => {
  test.use(DESKTOP);

  test('an answer quotes its message, and the quote leads back to it', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    const last = page.locator('article').last();
    await last.hover();
    await last.getByRole('button', { name: 'Reply' }).click();
    await expect(page.locator('.about .title')).toHaveText(/Reply to .*Mum/);
    await expect(page.locator(field)).toBeFocused();
    await page.locator(field).fill('so they did');
    await page.keyboard.press('Enter');
    await expect(page.locator('.about')).toHaveCount(0);
    const answer = page.locator('article').last();
    await expect(answer.locator('.quote')).toContainText('The photos came through, even here');
    await expect(answer).toHaveAttribute('aria-label', /in reply to .*Mum.*: The photos came through, even here, so they did/);
    const call = await page.evaluate(() => window.mock!.calls.filter(({ method }) => method === 'send').at(-1)!.params as { replyTo: string });
    expect(call.replyTo).toMatch(/^[0-9a-f]{32}$/);
    await answer.locator('.quote').click();
    await expect(page.locator('article.flash')).toContainText('The photos came through');
    await expectAccessible(page);
  });

  test('a quote whose message is not here, or was deleted, says so', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await page.evaluate(() => {
      const { backend } = window.mock!;
      const first = backend.messages.get(2)!.at(-1)!;
      backend.emit({ kind: 'messageAdded', message: backend.place(backend.chats.get(2)!, 'to what is missing', { reply: { id: 'ab', found: null } }) });
      const quoted = { position: first.position, mine: false, fromName: first.fromName, kind: first.kind, text: first.text, media: null };
      backend.emit({ kind: 'messageAdded', message: backend.place(backend.chats.get(2)!, 'to what will be gone', { reply: { id: first.id, found: quoted } }) });
      backend.deletes(first.id);
    });
    await expect(page.locator('.quote').nth(0)).toHaveText('A message that is not here');
    await expect(page.locator('.quote').nth(0)).toBeDisabled();
    await expect(page.locator('.quote').nth(1)).toContainText('Message deleted');
    await expectAccessible(page);
  });

  test('emojis by keyboard: the menu of a message, and those below it', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await page.locator('article').last().focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: '👍', exact: true }).press('Enter');
    await expect(dialog.getByRole('button', { name: '👍', exact: true })).toHaveAttribute('aria-pressed', 'true');
    await dialog.getByRole('textbox', { name: 'Another emoji' }).fill('ok');
    await page.keyboard.press('Enter');
    await expect(dialog.getByRole('alert')).toContainText('not a single emoji');
    await dialog.getByRole('textbox', { name: 'Another emoji' }).fill('🎉');
    await page.keyboard.press('Enter');
    await expect(dialog.getByRole('textbox', { name: 'Another emoji' })).toHaveValue('');
    await page.keyboard.press('Escape');
    const last = page.locator('article').last();
    await expect(last).toBeFocused();
    await expect(last).toHaveAttribute('aria-label', /reactions: .*👍 1: Ana.*🎉 1: Ana/);
    await page.evaluate(() => void window.mock!.backend.reacts(window.mock!.backend.messages.get(2)!.at(-1)!.id, '👍', true, 'Mum', false));
    const thumb = last.getByRole('button', { name: /^👍/ });
    await expect(thumb).toHaveAccessibleName('👍 2: Ana, Mum');
    await expectAccessible(page);
    await thumb.click();
    await expect(thumb).toHaveAttribute('aria-pressed', 'false');
    await expect(thumb).toHaveText('👍1');
  });

  test('an edit keeps what was being written, shows its mark and its history', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/4' });
    await page.locator(field).fill('half a thought');
    await openNewest(page);
    await page.getByRole('button', { name: 'Edit', exact: true }).click();
    await expect(page.locator(field)).toHaveValue('Tell them we can be reached');
    await expect(page.locator(field)).toBeFocused();
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    await expect(page.locator(field)).toHaveValue('half a thought');
    await openNewest(page);
    await page.getByRole('button', { name: 'Edit', exact: true }).click();
    await page.locator(field).fill('Tell them we can be reached again');
    await page.keyboard.press('Enter');
    await expect(page.locator(field)).toHaveValue('half a thought');
    const last = page.locator('article').last();
    await expect(last.locator('.text')).toHaveText('Tell them we can be reached again');
    await expect(last.locator('.meta')).toContainText('edited');
    await expect(page.locator('.side')).toContainText('Tell them we can be reached again');
    await last.press('Enter');
    await page.getByText('Earlier versions').click();
    await expect(page.getByRole('dialog').locator('li .text')).toHaveText('Tell them we can be reached');
    await expectAccessible(page);
  });

  test('deleted for everybody leaves a mark, deleted for me leaves nothing', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/4' });
    const count = await page.locator('article').count();
    await openNewest(page);
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Delete for everyone' }).click();
    const last = page.locator('article').last();
    await expect(last.locator('.text')).toHaveText('Message deleted');
    await expect(page.locator('.side')).not.toContainText('Tell them');
    await last.press('Enter');
    await expect(page.getByRole('button', { name: 'Edit', exact: true })).toHaveCount(0);
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await expect(page.getByRole('button', { name: 'Delete for everyone' })).toHaveCount(0);
    await page.getByRole('button', { name: 'Delete for me' }).click();
    await expect(page.locator('article')).toHaveCount(count - 1);
    expect(await page.evaluate(() => window.mock!.calls.filter(({ method }) => method === 'delete').map(({ params }) => (params as { everyone: boolean }).everyone))).toEqual([true, false]);
  });

  test('what is being answered goes when its message is deleted', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    const last = page.locator('article').last();
    await last.hover();
    await last.getByRole('button', { name: 'Reply' }).click();
    await expect(page.locator('.about')).toBeVisible();
    await page.evaluate(() => void window.mock!.backend.deletes(window.mock!.backend.messages.get(2)!.at(-1)!.id));
    await expect(page.locator('.about')).toHaveCount(0);
  });
});

test.describe('on a phone', () => {
  test.use(PHONE);

  test('a tap opens the menu; an answer and an emoji go from there', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await page.locator('article .bubble').last().tap();
    await page.getByRole('button', { name: '❤️', exact: true }).tap();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Reply' }).tap();
    await expect(page.locator('.about')).toBeVisible();
    await expectAccessible(page);
    await page.locator(field).fill('ok');
    await page.getByRole('button', { name: 'Send' }).tap();
    await expect(page.locator('article').last().locator('.quote')).toBeVisible();
    await page.locator('.reactions button').tap();
    await expect(page.locator('.reactions')).toHaveCount(0);
    await expect(page.getByRole('dialog')).toHaveCount(0);
  });
});
