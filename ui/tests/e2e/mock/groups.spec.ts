//! Links into a group: made, shown, closed; who waits. And an owner who steps down.

import { fileURLToPath } from 'node:url';
import type { Page } from '@playwright/test';
import { DESKTOP, PHONE, expect, expectAccessibleIn, test } from './page';

const GROUP = '#/chat/8/contact';

test.describe('a link into a group', () => {
  test.use(DESKTOP);

  test('is made with its limits, shown, listed, and closed', async ({ page, open }) => {
    await open({ scenario: 'group', hash: GROUP });
    await page.getByRole('button', { name: 'New link' }).click();
    await expect(page.getByLabel('I let each one in')).toBeChecked();
    await page.getByLabel('Lets in at most').selectOption('10 people');
    await page.getByLabel('Ends after').selectOption('1 day');
    await page.getByRole('button', { name: 'Make the link' }).click();
    await expect(page.getByRole('heading', { name: /Link into/ })).toContainText('The dacha on Saturday');
    await expect(page.getByText('You let each one in')).toBeVisible();
    await expect(page.getByText('0 of 10 let in')).toBeVisible();
    await expect(page.getByLabel('Invitation link')).toHaveValue(/^http/);

    // Somebody comes by it.
    await page.evaluate(() => {
      const { backend } = window.mock!;
      const [id] = [...backend.invites.keys()].slice(-1);
      backend.addRequest('Bo', { invite: id!, group: 'The dacha on Saturday' });
      backend.changeInvite(id!, { waiting: 1 });
    });
    await page.getByRole('button', { name: 'Decide', exact: true }).click();
    await expect(page.getByText(/Came by your link into .*The dacha on Saturday/)).toBeVisible();

    await page.evaluate((hash) => (location.hash = hash), GROUP);
    await page.getByRole('button', { name: /0 of 10 let in.*1 waiting/ }).click();
    await page.getByRole('button', { name: 'Close this invitation' }).click();
    await page.getByRole('button', { name: 'Close it' }).click();
    await page.evaluate((hash) => (location.hash = hash), GROUP);
    await expect(page.getByRole('button', { name: 'New link' })).toBeVisible();
    await expect(page.getByRole('button', { name: /of 10 let in/ })).toHaveCount(0);
  });

  test('says why it cannot be made, and is not offered to whoever may not add', async ({ page, open }) => {
    await open({ scenario: 'group', hash: GROUP });
    await page.evaluate(() => window.mock!.backend.failing.set('group.link', 'notAllowed'));
    await page.getByRole('button', { name: 'New link' }).click();
    await page.keyboard.press('Tab');
    await page.getByRole('button', { name: 'Make the link' }).press('Enter');
    await expect(page.getByRole('alert')).toBeVisible();
    await page.evaluate(() => {
      const { backend } = window.mock!;
      const group = backend.groups.get(8)!;
      const members = group.members.map((member) => (member.me ? { ...member, role: 'member' as const } : { ...member, role: 'owner' as const }));
      backend.groups.set(8, { ...group, members });
      backend.emit({ kind: 'chatChanged', chat: { ...backend.chats.get(8)!, activeAt: backend.now() + 1 } });
    });
    await expect(page.getByText('Members', { exact: true })).toBeVisible();
    await expect(page.getByRole('button', { name: 'Make the link' })).toHaveCount(0);
  });

  test('that is used up tells its taker so, without an alarm', async ({ page, open }) => {
    await open({ scenario: 'group' });
    const id = await page.evaluate(() => {
      const { backend } = window.mock!;
      const made = backend.call('accept', { link: 'stone:iabcdefghijkl', spokenWords: null }) as { id: string };
      backend.acceptances.set(made.id, { ...backend.acceptances.get(made.id)!, group: 'House' });
      backend.setAcceptance(made.id, 'used', 'Ana');
      return made.id;
    });
    await page.evaluate((hash) => (location.hash = hash), `#/acceptance/${id}`);
    await expect(page.getByRole('heading', { name: 'No place left' })).toBeVisible();
  });
});

/** The group's owner is somebody else, and was not heard for 40 days. */
async function ownerIsSilent(page: Page): Promise<void> {
  await page.evaluate(() => {
    const { backend } = window.mock!;
    const group = backend.groups.get(8)!;
    const members = group.members.map((one, place) => ({ ...one, role: one.me ? ('member' as const) : place === 1 ? ('owner' as const) : ('member' as const) }));
    const electors = members.filter(({ role }) => role === 'member').map(({ account }) => account);
    const other = members.find(({ role, me }) => role === 'member' && !me)!.account;
    backend.groups.set(8, { ...group, members, electors, consentsNeeded: 3, ownerHeardAt: Date.now() - 40 * 86_400_000, successions: [{ account: other, agreed: 1, mine: false }] });
    backend.emit({ kind: 'chatChanged', chat: { ...backend.chats.get(8)!, activeAt: backend.now() + 1 } });
  });
}

test.describe('where no owner was heard for long', () => {
  test.use(DESKTOP);

  test('one agrees to what was proposed and proposes another, with the keyboard', async ({ page, open }) => {
    await open({ scenario: 'group', hash: GROUP });
    await expect(page.getByText('No owner is there')).toHaveCount(0);
    await ownerIsSilent(page);
    await expect(page.getByText('1 of 3 agree')).toBeVisible();
    await page.getByRole('button', { name: /^Agree that/ }).press('Enter');
    await expect(page.getByText('2 of 3 agree')).toBeVisible();
    await expect(page.getByText('You agree', { exact: true })).toBeVisible();
    await page.getByLabel('Who shall be an owner?').selectOption('You');
    await page.getByRole('button', { name: 'Propose as owner' }).press('Enter');
    await expect(page.getByText('1 of 3 agree')).toBeVisible();
    await page.evaluate(() => window.mock!.backend.failing.set('group.consent', 'ownerHeard'));
    await ownerIsSilent(page);
    await page.getByRole('button', { name: /^Agree that/ }).press('Enter');
    await expect(page.getByRole('alert')).toContainText('in the last 30 days');
  });
});

for (const lang of ['en', 'ru'] as const) {
  test.describe(`on a phone in ${lang}`, () => {
    test.use(PHONE);

    test('being asked for another owner has no finding', async ({ page, open }) => {
      await open({ scenario: 'group', hash: GROUP, lang });
      await ownerIsSilent(page);
      await expect(page.getByText(lang === 'en' ? '1 of 3 agree' : 'Согласны: 1 из 3')).toBeVisible();
      await expectAccessibleIn(page, lang);
    });

    test('making a link has no finding', async ({ page, open }) => {
      await open({ scenario: 'group', hash: GROUP, lang });
      await page.getByRole('button', { name: lang === 'en' ? 'New link' : 'Новая ссылка' }).tap();
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: lang === 'en' ? 'Make the link' : 'Создать ссылку' }).tap();
      await expect(page.getByText(lang === 'en' ? '0 of 50 let in' : 'Впущено 0 из 50')).toBeVisible();
      await expectAccessibleIn(page, lang);
    });
  });
}

test.describe('an owner', () => {
  test.use(DESKTOP);

  test('steps down once somebody else owns the group, and not before', async ({ page, open }) => {
    await open({ scenario: 'group', hash: GROUP });
    const mine = page.getByLabel('Your role');
    await expect(page.locator('.members select')).not.toHaveCount(0);
    await expect(mine).toHaveCount(0);
    await page.locator('.members select').first().selectOption('Owner');
    await mine.selectOption('Member');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await expect(mine).toHaveValue('owner');
    await mine.selectOption('Member');
    await page.getByRole('button', { name: 'Give up' }).click();
    await expect(mine).toHaveCount(0);
    const call = await page.evaluate(() => window.mock!.calls.filter(({ method }) => method === 'group.role').at(-1)!.params);
    expect(call).toMatchObject({ role: 'member' });
  });
});

test.describe('the picture of a group', () => {
  test.use(PHONE);
  const PICTURE = fileURLToPath(new URL('../../../../docs/pictures/invite-light.png', import.meta.url));

  test('is made small, seen on its page, in its header and in the list, and taken away', async ({ page, open }) => {
    await open({ scenario: 'group', hash: GROUP });
    const shown = page.locator('img.picture:visible');
    await expect(page.getByRole('button', { name: 'Remove the picture' })).toHaveCount(0);
    await page.locator('input[type=file]').setInputFiles({ name: 'a.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('no picture') });
    await expect(page.getByRole('alert')).toHaveText(/not a picture/);
    await page.locator('input[type=file]').setInputFiles(PICTURE);
    await expect(shown).toHaveCount(1);
    expect(await shown.evaluate((img: HTMLImageElement) => img.decode().then(() => img.naturalWidth))).toBeGreaterThan(100);
    const bytes = await page.evaluate(() => atob(window.mock!.backend.pictures.get(8)!).length);
    expect(bytes).toBeLessThanOrEqual(61_440);
    await expectAccessibleIn(page, 'en');
    for (const hash of ['#/chat/8', '#/']) {
      await page.evaluate((to) => (location.hash = to), hash);
      await expect(page.locator('.members')).toHaveCount(0);
      await expect(shown).toHaveCount(1);
    }
    await page.evaluate((hash) => (location.hash = hash), GROUP);
    await page.getByRole('button', { name: 'Remove the picture' }).press('Enter');
    await expect(page.getByRole('button', { name: 'Add a picture' })).toBeFocused();
    await expect(shown).toHaveCount(0);
  });
});
