//! Every screen there is, as an address and the steps that lead to it. Used by the accessibility run.

import type { Page } from '@playwright/test';
import { type Open, openNewest } from './page';

export interface Screen {
  name: string;
  open: Open;
  steps?: (page: Page) => Promise<void>;
  /** Something that is on it when it stands. */
  shows: string;
}

export const SCREENS: readonly Screen[] = [
  { name: 'first screen', open: { scenario: 'fresh' }, shows: '.buttons' },
  { name: 'first screen: invitation', open: { scenario: 'fresh' }, steps: (page) => page.locator('.buttons button').nth(0).click(), shows: 'textarea' },
  { name: 'first screen: name', open: { scenario: 'fresh' }, steps: (page) => page.locator('.buttons button').nth(1).click(), shows: '#name' },
  { name: 'first screen: words', open: { scenario: 'fresh' }, steps: (page) => page.locator('.buttons button').nth(2).click(), shows: '#recovery' },
  { name: 'empty', open: { scenario: 'alone' }, shows: '.empty' },
  { name: 'chat list', open: { scenario: 'talk' }, shows: '.chat' },
  { name: 'chat list offline, clock off', open: { scenario: 'talk', connection: 'offline', clockDays: 3 }, shows: '.line.offline' },
  { name: 'chat', open: { scenario: 'talk', hash: '#/chat/1' }, shows: 'article' },
  { name: 'message', open: { scenario: 'talk', hash: '#/chat/1' }, steps: (page) => openNewest(page), shows: 'dialog' },
  { name: 'message of mine: what can be done with it', open: { scenario: 'talk', hash: '#/chat/4' }, steps: (page) => openNewest(page), shows: 'dialog .quick' },
  { name: 'message of mine: deleting', open: { scenario: 'talk', hash: '#/chat/4' }, steps: async (page) => { await openNewest(page); await page.locator('dialog .alarm-button').click(); }, shows: 'dialog .cta.alarm' },
  { name: 'answering', open: { scenario: 'talk', hash: '#/chat/2' }, steps: async (page) => { await openNewest(page); await page.locator('dialog .second', { hasText: /Reply|Ответить/ }).click(); }, shows: '.about' },
  {
    name: 'chat with answers, emojis, an edit and a deletion', open: { scenario: 'talk', hash: '#/chat/4' },
    steps: (page) => page.evaluate(`(() => {
      const { backend } = window.mock;
      const chat = backend.chats.get(4);
      const add = (text, change) => { const message = backend.place(chat, text, change); backend.emit({ kind: 'messageAdded', message }); return message; };
      const [theirs, mine] = [add('Where from?', {}), add('From the hill', { mine: true, state: 'read' })];
      const quote = ({ id, position, mine, fromName, kind, text }) => ({ id, found: { position, mine, fromName, kind, text } });
      add('There it works', { reply: quote(mine) });
      add('And here', { mine: true, state: 'read', reply: quote(theirs) });
      add('To something old', { reply: { id: 'ab', found: null } });
      for (const one of [theirs, mine]) { backend.reacts(one.id, '👍', true, 'Ana', true); backend.reacts(one.id, '🎉', true, 'Andry', false); }
      backend.edits(mine.id, 'From the hill behind the school');
      backend.deletes(theirs.id);
    })()`),
    shows: '.reactions button',
  },
  { name: 'contact', open: { scenario: 'talk', hash: '#/chat/2/contact' }, shows: '#alias' },
  { name: 'safety number', open: { scenario: 'talk', hash: '#/chat/2/safety' }, shows: '.number' },
  { name: 'group', open: { scenario: 'group', hash: '#/chat/8' }, shows: 'article .from' },
  { name: 'group page', open: { scenario: 'group', hash: '#/chat/8/contact' }, shows: '.members select' },
  { name: 'group page: adding', open: { scenario: 'group', hash: '#/chat/8/contact' }, steps: (page) => page.getByRole('button', { name: /Add people|Добавить людей/ }).click(), shows: 'input[type=checkbox]' },
  { name: 'a chat that is gone', open: { scenario: 'talk', hash: '#/chat/9999' }, shows: '.pick h1' },
  { name: 'new group', open: { scenario: 'talk', hash: '#/group' }, shows: '#group-name' },
  { name: 'invite', open: { scenario: 'talk', hash: '#/invite' }, shows: 'fieldset' },
  { name: 'invitation in person', open: { scenario: 'talk', hash: '#/invite' }, steps: (page) => page.locator('button[type=submit]').click(), shows: '.qr' },
  { name: 'invitation with words', open: { scenario: 'talk', hash: '#/invite' }, steps: async (page) => { await page.locator('input[value=spoken]').check(); await page.locator('button[type=submit]').click(); }, shows: '.three' },
  { name: 'invitations', open: { scenario: 'talk', hash: '#/invites' }, shows: '.item' },
  { name: 'accept', open: { scenario: 'talk', hash: '#/invite' }, steps: (page) => page.locator('button.alt').first().click(), shows: 'dialog textarea' },
  { name: 'public invitations: none', open: { scenario: 'talk', hash: '#/public' }, shows: '.none' },
  { name: 'public invitations', open: { scenario: 'public', hash: '#/public' }, shows: '.item' },
  { name: 'public invitation', open: { scenario: 'public', hash: '#/public' }, steps: async (page) => { await page.locator('.item').first().click(); await page.locator('summary').click(); }, shows: '.given code' },
  { name: 'public invitation: closing', open: { scenario: 'public', hash: '#/public' }, steps: async (page) => { await page.locator('.item').first().click(); await page.locator('.alarm-button').click(); }, shows: 'dialog .cta.alarm' },
  { name: 'public invitation that is over', open: { scenario: 'public', hash: '#/public' }, steps: (page) => page.locator('.item').last().click(), shows: '.facts' },
  { name: 'new public invitation', open: { scenario: 'public', hash: '#/public/new' }, steps: async (page) => { await page.locator('#routes').fill(`hello\nstone:rAQABUFFSU1RVVldYWVpbXF1eXxQVFhcYGRobHB0eHyAhIiMxOTIuMC4yLjc6NDQ0MwHcLi8\nstone:iAQAB`); await page.locator('.read li').first().waitFor(); await page.locator('button[type=submit]').click(); }, shows: '.read li' },
  { name: 'new public invitation: nowhere to stand', open: { scenario: 'alone', hash: '#/public/new' }, shows: '.notice.ember' },
  { name: 'requests', open: { scenario: 'talk', hash: '#/requests' }, steps: async (page) => { await page.evaluate('window.mock.backend.addRequest("Bo", { firstMessages: ["Это я", "with the red coat"] }); window.mock.backend.addRequest("Ира", { inPerson: true })'); }, shows: '.who' },
  { name: 'settings', open: { scenario: 'talk', hash: '#/settings' }, shows: '.switch' },
  { name: 'settings: passphrase and words', open: { scenario: 'talk', hash: '#/settings' }, steps: async (page) => { await page.locator('section.card', { has: page.locator('.notice.ember') }).locator('button').click(); await page.locator('section.card').getByRole('button', { name: /^(Show the words|Показать слова)$/ }).click(); await page.locator('ol li').last().waitFor(); }, shows: '#fresh' },
  { name: 'settings: destroy', open: { scenario: 'talk', hash: '#/settings' }, steps: (page) => page.locator('.alarm-button').click(), shows: '#wipe-word' },
  { name: 'search', open: { scenario: 'talk', hash: '#/chat/1' }, steps: async (page) => { await page.keyboard.press('Control+KeyK'); await page.locator('dialog input').fill('а'); await page.locator('dialog mark').first().waitFor(); }, shows: 'dialog mark' },
  { name: 'connection', open: { scenario: 'talk', connection: 'offline', clockDays: 3 }, steps: (page) => page.locator('button.line').click(), shows: 'dialog' },
  { name: 'keyboard', open: { scenario: 'talk' }, steps: (page) => page.keyboard.press('Control+Slash'), shows: 'dialog kbd' },
  { name: 'locked', open: { scenario: 'locked' }, shows: '#passphrase' },
  { name: 'no access', open: { scenario: 'noAccess' }, shows: 'pre' },
  { name: 'newer database', open: { scenario: 'talk', fault: 'newerDatabase' }, shows: '.screen .cta' },
  { name: 'nasty names', open: { scenario: 'nasty' }, shows: '.chat' },
  { name: 'nasty texts', open: { scenario: 'nasty', hash: '#/chat/2' }, shows: 'article' },
];
