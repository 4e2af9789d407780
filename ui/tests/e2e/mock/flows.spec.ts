import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { BrowserContext } from '@playwright/test';
import { DESKTOP, expect, openSearch, PHONE, settled, settledScroll, test } from './page';

const LINK = 'http://127.0.0.1:4180/q7Jx2mV0pLr3sT9w#c29tZWJvZHkgZWxzZQ';
const jsqr = readFileSync(createRequire(import.meta.url).resolve('jsqr'), 'utf8');

/** What a picture's code says, read from its pixels by a decoder in a page of no origin. */
async function decoded(context: BrowserContext, picture: Buffer): Promise<string | undefined> {
  const decoder = await context.newPage();
  await decoder.addScriptTag({ content: `${jsqr}; window.read = jsQR;` });
  const read = await decoder.evaluate(async (data) => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const pen = canvas.getContext('2d')!;
    pen.drawImage(bitmap, 0, 0);
    const pixels = pen.getImageData(0, 0, bitmap.width, bitmap.height);
    type Read = (pixels: Uint8ClampedArray, width: number, height: number, how: { inversionAttempts: 'dontInvert' }) => { data: string } | null;
    // Many readers know dark on light only.
    return (window as unknown as { read: Read }).read(pixels.data, bitmap.width, bitmap.height, { inversionAttempts: 'dontInvert' })?.data;
  }, picture.toString('base64'));
  await decoder.close();
  return read;
}

test.describe('first screens', () => {
  test.use(PHONE);

  test('four ways in this order, and the language beside them', async ({ page, open }) => {
    await open({ scenario: 'fresh' });
    await expect(page.locator('.buttons button')).toHaveText(['I have an invitation', 'Start without one', 'I have recovery words', 'I use Stonechat on another device']);
    await page.getByRole('button', { name: 'Русский' }).click();
    await expect(page.locator('.buttons button')).toHaveText(['У меня есть приглашение', 'Начать без него', 'У меня есть слова восстановления', 'У меня есть Stonechat на другом устройстве']);
    await expect(page.locator('html')).toHaveAttribute('lang', 'ru');
  });

  test('from an invitation to the chat in three screens, without a connection', async ({ page, open }) => {
    await open({ scenario: 'fresh', accept: 'saved' });
    await page.getByRole('button', { name: 'I have an invitation' }).click(); // 1
    await page.getByLabel('Link or code').fill(`  ${LINK}\n`);
    await page.getByRole('button', { name: 'Continue' }).click(); // 2
    await page.getByLabel('Name').fill('Ana');
    await page.getByRole('button', { name: 'Start' }).click(); // 3
    await expect(page.getByText('Saved. We will finish as soon as there is any connection.')).toBeVisible();
    await page.evaluate(() => window.mock!.backend.setAcceptance([...window.mock!.backend.acceptances.keys()][0]!, 'waiting', 'Лена'));
    await expect(page.getByRole('textbox', { name: /Message to/ })).toBeVisible();
    const calls = await page.evaluate(() => window.mock!.calls.filter(({ method }) => method === 'accept'));
    expect(calls).toEqual([{ method: 'accept', params: { link: LINK, spokenWords: null } }]);
  });

  test('three spoken words go along', async ({ page, open }) => {
    await open({ scenario: 'fresh', accept: 'waiting' });
    await page.getByRole('button', { name: 'I have an invitation' }).click();
    await page.getByLabel('Link or code').fill(LINK);
    await page.getByRole('button', { name: 'I was told three words' }).click();
    await page.getByLabel('Three spoken words').fill('lamp river quiet');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByLabel('Name').fill('Ana');
    await page.getByRole('button', { name: 'Start' }).click();
    await expect(page.getByRole('textbox', { name: /Message to/ })).toBeVisible();
    expect(await page.evaluate(() => window.mock!.calls.find(({ method }) => method === 'accept')?.params)).toEqual({ link: LINK, spokenWords: 'lamp river quiet' });
  });

  test('a link that core refuses leads back to the link, not to a second account', async ({ page, open }) => {
    await open({ scenario: 'fresh' });
    await page.evaluate(() => void window.mock!.backend.failing.set('accept', 'linkExpired'));
    await page.getByRole('button', { name: 'I have an invitation' }).click();
    await page.getByLabel('Link or code').fill(LINK);
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByLabel('Name').fill('Ana');
    await page.getByRole('button', { name: 'Start' }).click();
    await expect(page.getByRole('alert')).toHaveText('This invitation has expired. Ask for a new one.');
    await page.getByLabel('Link or code').fill(`${LINK}2`);
    await page.getByRole('button', { name: 'Continue' }).click();
    await expect(page.getByText('Saved. We will finish')).toBeVisible();
    expect(await page.evaluate(() => window.mock!.calls.filter(({ method }) => method === 'init').length)).toBe(1);
  });

  test('what is plainly no invitation is told before a name is asked', async ({ page, open }) => {
    await open({ scenario: 'fresh' });
    await page.getByRole('button', { name: 'I have an invitation' }).click();
    await page.getByLabel('Link or code').fill('stone:rAAAABBBB');
    await page.getByRole('button', { name: 'Continue' }).click();
    await expect(page.getByRole('alert')).toContainText('the route of a relay');
  });

  test('without an invitation: a name, then the empty list that does work', async ({ page, open }) => {
    await open({ scenario: 'fresh' });
    await page.getByRole('button', { name: 'Start without one' }).click();
    await page.getByLabel('Name').fill('Ana');
    await page.getByRole('button', { name: 'Start' }).click();
    await expect(page.getByRole('heading', { name: 'Nobody here yet' })).toBeVisible();
    await page.getByRole('button', { name: 'Invite someone' }).last().click();
    await page.getByRole('button', { name: 'Make the invitation' }).click();
    await expect(page.getByRole('alert')).toContainText('No relay is known yet');
    await page.getByRole('button', { name: 'Add a relay' }).click();
    await page.getByLabel('Route').fill('stone:rAAAABBBBCCCC');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await expect(page.getByText('The relay is added.')).toBeVisible();
  });

  test('recovery words bring the account back, and what does not come back is said', async ({ page, open }) => {
    await open({ scenario: 'fresh' });
    await page.getByRole('button', { name: 'I have recovery words' }).click();
    await page.getByLabel('24 words').fill(Array.from({ length: 24 }, () => 'stone').join('  '));
    await expect(page.getByText('24 words of 24')).toBeVisible();
    await page.getByLabel('Name').fill('Ana');
    await page.getByRole('button', { name: 'Restore my account' }).click();
    await expect(page.getByText('Without its contacts and groups. Ask people to invite you again.')).toBeVisible();
  });
});

test.describe('invitations', () => {
  test('the code on the screen decodes to the code of the link; its picture is taken by the other side', async ({ page, open, context, site }) => {
    await open({ scenario: 'talk', hash: '#/invite' });
    await page.getByRole('button', { name: 'Make the invitation' }).click();
    const drawing = page.locator('.qr');
    await expect(drawing).toBeVisible();
    const picture = await drawing.screenshot();
    const code = await page.evaluate(() => [...window.mock!.backend.invites.values()].at(-1)!.code);

    expect(await decoded(context, picture)).toBe(code);

    const other = await context.newPage();
    await other.goto(`${site}?scenario=fresh`);
    await other.getByRole('button', { name: 'I have an invitation' }).click();
    await other.locator('input[type=file]').setInputFiles({ name: 'code.png', mimeType: 'image/png', buffer: picture });
    await expect(other.getByText('Found the code in the picture.')).toBeVisible({ timeout: 15_000 });
    await expect(other.getByLabel('Link or code')).toHaveValue(code);
    await other.locator('input[type=file]').setInputFiles({ name: 'no.png', mimeType: 'image/png', buffer: readFileSync(new URL('../../../public/logo.svg', import.meta.url)) });
    await expect(other.getByText('There is no readable code in this picture.')).toBeVisible({ timeout: 15_000 });
  });

  test('the code decodes in the dark theme too', async ({ page, open, context }) => {
    await open({ scenario: 'talk', hash: '#/invite', theme: 'dark' });
    await page.getByRole('button', { name: 'Make the invitation' }).click();
    await expect(page.locator('.qr')).toBeVisible();
    await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
    const code = await page.evaluate(() => [...window.mock!.backend.invites.values()].at(-1)!.code);
    expect(await decoded(context, await page.screenshot({ fullPage: true }))).toBe(code); // as a camera sees it: with what is around
  });

  test('copying a link empties the clipboard after a minute', async ({ page, open, context }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.clock.install();
    await open({ scenario: 'talk', hash: '#/invite' });
    await page.locator('input[value=plain]').check();
    await page.getByRole('button', { name: 'Make the invitation' }).click();
    await page.getByRole('button', { name: 'Copy', exact: true }).click();
    await expect(page.getByText('Copied. The clipboard is emptied in 60 seconds.')).toBeVisible();
    const link = await page.getByLabel('Invitation link').inputValue();
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toBe(link);
    await page.clock.runFor(61_000);
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toBe('');
  });

  test('the share sheet comes before the clipboard where there is one', async ({ page, open }) => {
    await page.addInitScript(() => {
      navigator.share = async (data) => void ((window as unknown as { shared: unknown }).shared = data);
    });
    await open({ scenario: 'talk', hash: '#/invite' });
    await page.locator('input[value=spoken]').check();
    await page.getByRole('button', { name: 'Make the invitation' }).click();
    await page.getByRole('button', { name: 'Share' }).click();
    const shared = (): Promise<string | undefined> => page.evaluate(() => (window as unknown as { shared?: { text: string } }).shared?.text);
    await expect.poll(shared).toContain('http://127.0.0.1:4180/');
    expect(await shared()).not.toContain('lamp river quiet');
  });

  test('an open invitation can be closed', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/invites' });
    await page.locator('.item').first().click();
    await page.getByRole('button', { name: 'Close this invitation' }).click();
    await page.getByRole('button', { name: 'Close it' }).click();
    await expect(page.getByText('You closed it.')).toBeVisible();
  });

  test('wrong words: asked again, and the chat opens', async ({ page, open }) => {
    await open({ scenario: 'talk', accept: 'wordsWrong', hash: '#/invite' });
    await page.getByRole('button', { name: 'I have an invitation' }).click();
    await page.getByLabel('Link or code').fill(LINK);
    await page.getByRole('button', { name: 'Accept invitation' }).click();
    await expect(page.getByText('The three words do not match. The invitation still holds')).toBeVisible();
    await page.getByLabel('Three spoken words').fill('lamp river quiet');
    await page.getByRole('button', { name: 'Try these words' }).click();
    await expect(page.getByRole('textbox', { name: /Message to/ })).toBeVisible();
  });
});

test.describe('groups', () => {
  test('made with two people: it opens, and says who wrote', async ({ page, open }) => {
    await open({ scenario: 'talk' });
    await page.getByRole('button', { name: 'New group' }).click();
    await page.getByLabel('Name of the group').fill('The dacha');
    await page.getByRole('checkbox', { name: 'Лена' }).check();
    await page.getByRole('checkbox', { name: 'Pavel' }).check();
    await page.getByRole('button', { name: 'Make the group' }).click();
    await expect(page.locator('.head')).toContainText('3 members');
    await page.evaluate(() => {
      const { backend } = window.mock!;
      const chat = [...backend.chats.values()].at(-1)!;
      backend.emit({ kind: 'messageAdded', message: backend.place(chat, 'I have the gas', { from: 'p', fromName: 'Pavel', state: 'received' }) });
    });
    await expect(page.getByRole('article', { name: /^.*Pavel, I have the gas/ })).toContainText('Pavel');
  });

  test('renamed, a role given, somebody added and removed', async ({ page, open }) => {
    await open({ scenario: 'group', hash: '#/chat/8/contact' });
    await page.getByRole('button', { name: 'Change name and description' }).click();
    await page.getByLabel('Name of the group').fill('The dacha on Sunday');
    await page.getByLabel('What it is about').fill('Bring boots');
    await page.getByRole('button', { name: 'Save' }).click();
    await expect(page.getByRole('heading', { name: 'The dacha on Sunday' })).toBeVisible();
    await expect(page.getByText('Bring boots')).toBeVisible();
    await page.getByLabel(/^Role of .*Pavel/).selectOption('Admin');
    await expect(page.getByLabel(/^Role of .*Pavel/)).toHaveValue('admin');
    await page.getByRole('button', { name: 'Add people' }).click();
    await page.getByRole('checkbox', { name: 'Andry' }).check();
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await expect(page.getByText('5 members').first()).toBeVisible();
    await page.getByRole('button', { name: /^Remove .*Andry/ }).click();
    await page.getByRole('button', { name: 'Remove', exact: true }).click();
    await expect(page.getByText('4 members').first()).toBeVisible();
  });

  test('what the group does not allow is said, and nothing changes', async ({ page, open }) => {
    await open({ scenario: 'group', hash: '#/chat/8/contact' });
    await page.evaluate(() => window.mock!.backend.failing.set('group.role', 'notAllowed'));
    await page.getByLabel(/^Role of .*Pavel/).selectOption('Admin');
    await expect(page.getByText('This group does not let you do that.')).toBeVisible();
    await page.evaluate(() => window.mock!.backend.failing.set('group.add', 'noKeysYet'));
    await page.getByRole('button', { name: 'Add people' }).click();
    await page.getByRole('checkbox', { name: 'Andry' }).check();
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await expect(page.getByText('has not answered yet')).toBeVisible();
  });

  test('a member is offered neither roles nor policy, and can leave: what was written stays', async ({ page, open }) => {
    await open({ scenario: 'group' });
    const id = await page.evaluate(() => {
      const { backend } = window.mock!;
      const chat = backend.addGroup('Parents', [[...backend.contacts.keys()][0]!], 'member');
      backend.emit({ kind: 'chatChanged', chat: { ...chat } });
      return chat.id;
    });
    await page.evaluate((hash) => (location.hash = hash), `#/chat/${id}/contact`);
    await expect(page.getByText('Owner')).toBeVisible();
    await expect(page.locator('select')).toHaveCount(0);
    await page.getByRole('button', { name: 'Leave the group' }).click();
    await page.getByRole('button', { name: 'Leave', exact: true }).click();
    await expect(page.getByText('You are not in this group any more. What was written stays here.')).toBeVisible();
    await expect(page.locator('textarea')).toHaveCount(0);
  });
});

test.describe('requests', () => {
  test('let in: the chat opens with what was written', async ({ page, open }) => {
    await open({ scenario: 'talk' });
    await page.evaluate(() => void window.mock!.backend.addRequest('Bo', { firstMessages: ['It is me'] }));
    await page.getByRole('button', { name: /1 person wants in/ }).click();
    await expect(page.getByText('It is me')).toBeVisible();
    await page.getByRole('button', { name: 'Let in' }).click();
    await expect(page.getByRole('article', { name: /Bo, It is me/ })).toBeVisible();
  });

  test('in person: approving says what it means and verifies', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/requests' });
    await page.evaluate(() => void window.mock!.backend.addRequest('Bo', { inPerson: true }));
    await page.getByRole('button', { name: 'This is the person in front of me' }).click();
    await expect(page.locator('.head .sub')).toHaveText('verified');
  });

  test('declined only after a second word', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/requests' });
    await page.evaluate(() => void window.mock!.backend.addRequest('Bo'));
    await page.getByRole('button', { name: 'Decline' }).click();
    await page.getByRole('button', { name: 'Turn away' }).click();
    await expect(page.getByText('Nobody is waiting')).toBeVisible();
  });
});

test.describe('talking', () => {
  test.use(DESKTOP);

  test('Enter sends, Shift+Enter breaks the line, the states follow in words', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    const field = page.getByRole('textbox');
    await expect(field).toBeFocused();
    await page.keyboard.type('one');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('two');
    await page.keyboard.press('Enter');
    await expect(field).toHaveValue('');
    const row = page.getByRole('article', { name: /You, one\s+two/ });
    await expect(row).toHaveAttribute('data-state', 'read');
    await expect(row).toHaveAccessibleName(/read$/);
    expect(await page.evaluate(() => window.mock!.backend.messages.get(2)!.at(-1)!.text)).toBe('one\ntwo');
  });

  test('a text written while the program is away is sent once when it is back', async ({ page, open, mock }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await expect(page.locator('article').first()).toBeVisible();
    await mock((handle) => handle.cut());
    await page.getByRole('textbox').fill('later');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('article', { name: /later/ })).toHaveAttribute('data-state', 'sending');
    await mock((handle) => handle.heal());
    await expect(page.getByRole('article', { name: /later/ })).toHaveAttribute('data-state', 'read', { timeout: 10_000 });
    expect(await page.evaluate(() => window.mock!.backend.messages.get(2)!.filter(({ text }) => text === 'later').length)).toBe(1);
    await expect(page.getByRole('article', { name: /later/ })).toHaveCount(1);
  });

  test('what was not sent can be tried again', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await page.evaluate(() => void window.mock!.backend.failing.set('send', 'diskFull'));
    await page.getByRole('textbox').fill('again');
    await page.keyboard.press('Enter');
    await expect(page.getByText('Not sent.')).toBeVisible();
    await page.locator('.failed').getByRole('button').click();
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect(page.getByRole('article', { name: /again/ })).toHaveAttribute('data-state', 'read');
  });

  test('a draft is kept per chat and shown in the list', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await page.getByRole('textbox').fill('not yet');
    await page.keyboard.press('Alt+ArrowDown');
    await expect(page).toHaveURL(/chat\/3/);
    await expect(page.getByRole('textbox')).toHaveValue('');
    await expect(page.locator('.chat', { hasText: 'Mum' })).toContainText('Draft: not yet');
    await page.keyboard.press('Alt+ArrowUp');
    await expect(page.getByRole('textbox')).toHaveValue('not yet');
  });

  test('opens at the first unread line and reads only what is seen', async ({ page, open }) => {
    await open({ scenario: 'talk' });
    await page.evaluate(() => {
      const { backend } = window.mock!;
      for (let n = 0; n < 60; n += 1) backend.peerSays(2, `line ${n} ${'word '.repeat(20)}`);
    });
    await page.locator('.chat', { hasText: 'Mum' }).click();
    await expect(page.locator('.new')).toBeInViewport();
    await expect(page.getByRole('button', { name: /To the newest message, \d+ new/ })).toBeVisible();
    await expect.poll(() => page.evaluate(() => window.mock!.backend.chats.get(2)!.unread)).toBeLessThan(61);
    expect(await settled(page, () => window.mock!.backend.chats.get(2)!.unread)).toBeGreaterThan(30);
    await page.getByRole('button', { name: /To the newest message/ }).click();
    await expect.poll(() => page.evaluate(() => window.mock!.backend.chats.get(2)!.unread)).toBe(0);
    await expect(page.getByRole('button', { name: /To the newest message/ })).toHaveCount(0);
  });

  test('a new message does not move a reader who looks at older ones, and follows one who stands at the end', async ({ page, open }) => {
    await open({ scenario: 'long', count: 400, hash: '#/chat/1' });
    const feed = page.getByRole('feed');
    await expect(page.getByRole('article', { name: /400\. / })).toBeInViewport();
    await page.evaluate(() => window.mock!.backend.peerSays(1, 'at the end'));
    await expect(page.getByRole('article', { name: /at the end/ })).toBeInViewport();
    await settledScroll(page); // only who stands at the end is moved along
    await feed.hover();
    await page.mouse.wheel(0, -1500);
    await expect(page.getByRole('button', { name: 'To the newest message' })).toBeVisible();
    await settledScroll(page);
    const middle = page.locator('article:visible').nth(12);
    const key = await middle.getAttribute('data-key');
    const before = await page.locator(`[data-key="${key}"]`).boundingBox();
    await page.evaluate(() => window.mock!.backend.peerSays(1, 'somewhere below'));
    await expect(page.getByRole('button', { name: /1 new/ })).toBeVisible();
    await settledScroll(page);
    const after = await page.locator(`[data-key="${key}"]`).boundingBox();
    expect(Math.abs(after!.y - before!.y)).toBeLessThanOrEqual(2);
  });

  test('the open chat is heard politely', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await expect(page.locator('article').first()).toBeVisible();
    await page.evaluate(() => window.mock!.backend.peerSays(2, 'are you there'));
    await expect(page.locator('[aria-live=polite]')).toContainText('are you there');
  });

  test('title and icon carry the number of unread messages', async ({ page, open }) => {
    await open({ scenario: 'talk' });
    await expect(page).toHaveTitle('(6) Stonechat');
    await expect(page.locator('link[rel=icon]')).toHaveAttribute('href', /^data:image\/png/);
    await page.evaluate(() => window.mock!.backend.chats.forEach((chat) => window.mock!.backend.call('markRead', { chat: chat.id, position: 1e9 })));
    await expect(page).toHaveTitle('Stonechat');
  });

  test('a large batch is taken in by reading again', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await expect(page.locator('article').first()).toBeVisible();
    await page.evaluate(() => {
      const { backend } = window.mock!;
      for (let n = 0; n < 300; n += 1) backend.place(backend.chats.get(2)!, `batch ${n}`, { state: 'received' });
      backend.emit({ kind: 'ingested', messages: 300 });
    });
    await expect(page.getByRole('article', { name: /batch 299/ })).toBeVisible();
  });
});

test('a chat that begins while the lists are read is not lost', async ({ page, open }) => {
  await open({ scenario: 'talk' });
  await expect(page.locator('.chat').first()).toBeVisible();
  await page.evaluate(() => {
    const { backend } = window.mock!;
    const call = backend.call.bind(backend);
    let began = false;
    backend.call = (method, params) => {
      const answer = call(method, params);
      if (method === 'chats' && !began) {
        began = true;
        backend.emit({ kind: 'chatChanged', chat: { ...backend.addGroup('Just begun', [[...backend.contacts.keys()][0]!], 'owner') } });
      }
      return answer;
    };
    backend.emit({ kind: 'ingested', messages: 1 });
  });
  await expect(page.locator('.chat', { hasText: 'Just begun' })).toBeVisible();
  await settled(page, () => document.querySelectorAll('.chat').length);
  await expect(page.locator('.chat', { hasText: 'Just begun' })).toBeVisible();
});

test.describe('ten thousand messages', () => {
  test.use(DESKTOP);

  test('scrolling up never jumps, few rows are in the document, places are right', async ({ page, open }) => {
    await open({ scenario: 'long', count: 10_000, hash: '#/chat/1' });
    await expect(page.getByRole('article', { name: /10000\. / })).toBeInViewport();
    await settledScroll(page); // it stands at the end once it has measured its rows
    const result = await page.evaluate(async () => {
      const feed = document.querySelector('[role=feed]')!;
      const frame = (): Promise<void> => new Promise((resolve) => requestAnimationFrame(() => resolve()));
      let jump = 0;
      let rowsMax = 0;
      for (let step = 0; step < 160; step += 1) {
        const box = feed.getBoundingClientRect();
        const seen = [...feed.querySelectorAll<HTMLElement>('article')].find((row) => row.getBoundingClientRect().top > box.top + 200);
        const key = seen?.dataset.key;
        const top = seen?.getBoundingClientRect().top ?? 0;
        const asked = Math.min(120, feed.scrollTop);
        feed.scrollTop -= 120;
        const place = (): number | undefined => feed.querySelector<HTMLElement>(`[data-key="${key}"]`)?.getBoundingClientRect().top;
        // Rows above are measured, and older ones loaded, in frames of their own: it has a second to stand where it belongs.
        const off = (): number => Math.abs((place() ?? 1e9) - top - asked); // a row that went from the document jumped far
        for (let calm = 0, frames = 0; calm < 3 && frames < 60; calm += 1, frames += 1) {
          await frame();
          if (off() > 2) calm = -1;
        }
        jump = Math.max(jump, off());
        rowsMax = Math.max(rowsMax, feed.querySelectorAll('article').length);
      }
      const first = feed.querySelector('article')!;
      return { jump, rowsMax, place: first.getAttribute('aria-posinset'), size: first.getAttribute('aria-setsize'), label: first.getAttribute('aria-label')! };
    });
    expect(result.jump).toBeLessThanOrEqual(2);
    expect(result.rowsMax).toBeLessThan(60);
    expect(result.size).toBe('10000');
    expect(result.label).toContain(`, ${result.place}. `);
    expect(Number(result.place)).toBeLessThan(9900);
  });

  test('a found message is opened in its place, and the way back down is there', async ({ page, open }) => {
    await open({ scenario: 'long', count: 10_000, hash: '#/chat/1' });
    await expect(page.locator('article').first()).toBeVisible();
    await page.keyboard.press('Control+KeyF');
    await page.getByRole('combobox').fill('4321.');
    await expect(page.getByRole('option')).toHaveCount(1);
    await page.keyboard.press('Enter');
    const row = page.getByRole('article', { name: /, 4321\. / });
    await expect(row).toBeInViewport();
    await expect(row).toHaveAttribute('aria-posinset', '4321');
    await page.getByRole('button', { name: 'To the newest message' }).click();
    await expect(page.getByRole('article', { name: /10000\. / })).toBeInViewport();
  });

  test('the row with the focus stays in the document while others go', async ({ page, open }) => {
    await open({ scenario: 'long', count: 1000, hash: '#/chat/1' });
    await expect(page.getByRole('article', { name: /, 1000\. / })).toBeInViewport();
    await settledScroll(page);
    await page.getByRole('article', { name: /, 1000\. / }).focus();
    for (let n = 0; n < 5; n += 1) await page.keyboard.press('ArrowUp');
    await expect(page.locator('article:focus')).toHaveAttribute('aria-posinset', '995');
    await page.getByRole('feed').evaluate((feed) => (feed.scrollTop -= 4000));
    await settledScroll(page);
    await expect(page.locator('article:focus')).toHaveAttribute('aria-posinset', '995');
    await page.keyboard.press('ArrowUp');
    await expect(page.locator('article:focus')).toHaveAttribute('aria-posinset', '994');
    await expect(page.locator('article:focus')).toBeInViewport();
    await page.keyboard.press('End');
    await expect(page.locator('article:focus')).toHaveAttribute('aria-posinset', '1000');
  });

  test('a thousand chats: the list walks by arrow keys and knows its size', async ({ page, open }) => {
    await open({ scenario: 'many', count: 1000 });
    await expect(page.locator('.chats li').first()).toHaveAttribute('aria-setsize', '1000');
    await expect(page.locator('.chat', { hasText: /Contact 5\b/ })).toBeVisible();
    expect(await page.locator('.chats li').count()).toBeLessThan(60);
    await page.locator('.chat').first().focus();
    for (let n = 0; n < 30; n += 1) await page.keyboard.press('ArrowDown');
    await expect(page.locator('.chat:focus')).toContainText('Contact 31');
    await page.keyboard.press('Enter');
    await expect(page.locator('.head')).toContainText('Contact 31');
  });
});

test.describe('keyboard', () => {
  test.use(DESKTOP);

  test('Ctrl+K jumps, Escape closes and gives the focus back', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/1' });
    await expect(page.getByRole('textbox')).toBeFocused();
    await openSearch(page);
    await page.keyboard.press('Escape');
    await expect(page.getByRole('dialog')).toHaveCount(0);
    await expect(page.getByRole('textbox')).toBeFocused();
    await openSearch(page);
    await page.keyboard.type('pav');
    await expect(page.getByRole('option').first()).toContainText('Pavel');
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL(/chat\/3/);
  });

  test('arrows choose among what was found, and matches are marked', async ({ page, open }) => {
    await open({ scenario: 'talk' });
    await openSearch(page);
    await page.keyboard.type('дом');
    await expect(page.locator('mark')).toHaveText(['дом', 'дом']); // дом 14, дома
    await page.keyboard.press('ArrowDown');
    await expect(page.getByRole('option').nth(1)).toHaveAttribute('aria-selected', 'true');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('article', { name: /Ты дома/ })).toBeInViewport();
  });

  test('Enter opens the message that has the focus, not the one that a search went to', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/1' });
    const own = page.getByRole('article', { name: /Станция Лесная/ });
    await own.focus();
    await openSearch(page);
    await page.keyboard.type('Ты дома');
    await expect(page.getByRole('option').first()).toContainText('Ты дома');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('article', { name: /Ты дома/ })).toHaveClass(/flash/);
    await expect(own).toBeFocused();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').getByRole('button', { name: 'Reply', exact: true }).click();
    await expect(page.locator('form.composer')).toContainText('Станция Лесная');
  });

  test('nothing found is said', async ({ page, open }) => {
    await open({ scenario: 'talk' });
    await openSearch(page);
    await page.keyboard.type('zzzz');
    await expect(page.getByRole('dialog')).toContainText('Nothing found for');
  });

  test('Alt+N invites, Escape goes back, Ctrl+/ explains', async ({ page, open }) => {
    await open({ scenario: 'talk' });
    await page.keyboard.press('Alt+KeyN');
    await expect(page.getByRole('heading', { name: 'Invite' })).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(page).toHaveURL(/talk(#\/)?$/);
    await page.keyboard.press('Control+Slash');
    await expect(page.getByRole('dialog', { name: 'Keyboard' })).toBeVisible();
  });

  test('a whole turn by keyboard alone: list, chat, message, details, back', async ({ page, open }) => {
    await open({ scenario: 'talk' });
    await page.locator('.chat').first().focus();
    await page.keyboard.press('ArrowDown');
    await expect(page.locator('.chat').nth(1)).toBeFocused(); // the focus follows a frame later
    await page.keyboard.press('Enter');
    await expect(page.getByRole('textbox')).toBeFocused();
    await expect(page.locator('article').last()).toBeInViewport();
    await settledScroll(page);
    await page.keyboard.press('Shift+Tab');
    for (let n = 0; n < 4 && !(await page.locator('article:focus').count()); n += 1) await page.keyboard.press('Shift+Tab');
    await expect(page.locator('article:focus')).toHaveCount(1);
    await page.keyboard.press('Enter');
    await expect(page.getByRole('dialog', { name: 'Message' })).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(page.locator('article:focus')).toHaveCount(1);
  });
});

test.describe('settings', () => {
  test('language and theme change at once and are stored', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/settings' });
    await page.getByRole('radio', { name: 'Русский' }).check();
    await expect(page.getByRole('heading', { name: 'Настройки' })).toBeVisible();
    await page.getByRole('radio', { name: 'Тёмная' }).check();
    await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
    await expect.poll(() => page.evaluate(() => window.mock!.backend.settings)).toEqual({ language: 'ru', theme: 'dark', readReceipts: true });
    await page.getByRole('switch').click();
    await expect.poll(() => page.evaluate(() => window.mock!.backend.settings.readReceipts)).toBe(false);
  });

  test('passphrase: set, lock, open, change, remove', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/settings' });
    await expect(page.getByText('protects from nobody who has this disk')).toBeVisible();
    await page.getByRole('button', { name: 'Set a passphrase' }).click();
    await page.getByLabel('New passphrase', { exact: true }).fill('short');
    await page.getByLabel('New passphrase once more').fill('short');
    const save = page.getByRole('button', { name: 'Save', exact: true });
    await save.click();
    await expect(page.getByRole('alert')).toContainText('at least 8');
    await page.getByLabel('New passphrase', { exact: true }).fill('several ordinary words');
    await save.click();
    await expect(page.getByRole('alert')).toContainText('differ');
    await page.getByLabel('New passphrase once more').fill('several ordinary words');
    await save.click();
    await expect(page.getByText('The passphrase is set.')).toBeVisible();
    await page.getByRole('button', { name: 'Lock now' }).click();
    await expect(page.getByRole('heading', { name: 'Locked' })).toBeVisible();
    await expect(page.locator('body')).not.toContainText('Лена');
    await page.getByLabel('Passphrase').fill('several ordinary words');
    await page.getByRole('button', { name: 'Open' }).click();
    await page.getByRole('button', { name: 'Remove the passphrase' }).click();
    await page.getByLabel('Present passphrase').fill('wrong');
    await page.getByRole('button', { name: 'Remove the passphrase' }).click();
    await expect(page.getByRole('alert')).toContainText('The passphrase is wrong.');
    await page.getByLabel('Present passphrase').fill('several ordinary words');
    await page.getByRole('button', { name: 'Remove the passphrase' }).click();
    await expect(page.getByText('The passphrase is removed.')).toBeVisible();
  });

  test('recovery words only after a tap', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/settings' });
    await expect(page.getByRole('button', { name: 'Show the words' }).last()).toBeVisible();
    expect(await page.evaluate(() => window.mock!.calls.some(({ method }) => method === 'words'))).toBe(false);
    await page.getByRole('button', { name: 'Show the words' }).last().click();
    await expect(page.locator('ol li')).toHaveCount(24);
    await page.getByRole('button', { name: 'Hide the words' }).click();
    await expect(page.locator('ol li')).toHaveCount(0);
  });

  test('destroying everything takes a typed word', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/settings' });
    await page.getByRole('button', { name: 'Destroy everything here' }).click();
    const act = page.getByRole('dialog').getByRole('button', { name: 'Destroy everything' });
    await expect(act).toBeDisabled();
    await page.getByLabel('Type “destroy” to confirm').fill('Destroy');
    await act.click();
    await expect(page.getByRole('alert')).toHaveText('Everything here is destroyed');
    expect(await page.evaluate(() => window.mock!.calls.find(({ method }) => method === 'wipe')?.params)).toEqual({ confirm: 'wipe' });
  });

  test('a contact is renamed here, verified and unverified', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2/contact' });
    await page.getByLabel('Name here').fill('Mother');
    await page.getByRole('button', { name: 'Save' }).click();
    await expect(page.getByRole('heading', { name: 'Mother' })).toBeVisible();
    await page.getByRole('button', { name: 'Safety number' }).click();
    await expect(page.locator('.number li')).toHaveCount(12);
    await page.getByRole('button', { name: 'They differ' }).click();
    await expect(page.getByText('Somebody may stand between you.')).toBeVisible();
    await page.getByRole('button', { name: 'The numbers are the same' }).click();
    await expect(page.getByText('You marked these numbers as the same.')).toBeVisible();
    await page.getByRole('button', { name: 'Take the mark back' }).click();
    await expect(page.getByRole('button', { name: 'The numbers are the same' })).toBeVisible();
  });
});

test('names and texts that try to break out stay text', async ({ page, open }) => {
  await open({ scenario: 'nasty' });
  let asked = false;
  page.on('dialog', () => (asked = true));
  for (const id of [1, 2, 3, 4, 5, 6, 7, 8]) {
    await page.goto(`${page.url().split('#')[0]}#/chat/${id}`);
    await page.reload();
    await expect(page.locator('article').first()).toBeVisible();
  }
  expect(asked).toBe(false);
  expect(await page.locator('article img, article script, article b').count()).toBe(0);
  await expect(page.locator('bdi').first()).toBeVisible();
});

test.describe('the code of a safety number', () => {
  test.use(PHONE);

  test('a picture of the same code marks the contact, another one warns and marks nothing', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2/safety' });
    const same = await page.locator('.qr').screenshot();
    const choose = page.locator('input[type=file]');
    await choose.setInputFiles({ name: 'no.png', mimeType: 'image/png', buffer: Buffer.from('no picture') });
    await expect(page.getByText('no readable code')).toBeVisible();
    await page.goto(page.url().replace(/#.*/, '#/invite'));
    await page.locator('button[type=submit]').click();
    const other = await page.locator('.qr').screenshot();
    await page.goto(page.url().replace(/#.*/, '#/chat/2/safety'));
    await page.locator('input[type=file]').setInputFiles({ name: 'other.png', mimeType: 'image/png', buffer: other });
    await expect(page.getByText('not of a safety number')).toBeVisible({ timeout: 15_000 });
    await expect(page.getByRole('button', { name: 'Take the mark back' })).toBeHidden();
    await page.evaluate(() => window.mock!.backend.failing.set('verify', 'numbersDiffer'));
    await page.locator('input[type=file]').setInputFiles({ name: 'code.png', mimeType: 'image/png', buffer: same });
    await expect(page.getByText('If the numbers differ')).toBeVisible({ timeout: 15_000 });
    await page.evaluate(() => window.mock!.backend.failing.delete('verify'));
    await page.locator('input[type=file]').setInputFiles({ name: 'code.png', mimeType: 'image/png', buffer: same });
    await expect(page.getByRole('button', { name: 'Take the mark back' })).toBeVisible({ timeout: 15_000 });
    await expect(page.getByText('If the numbers differ')).toBeHidden();
  });
});
