import { fileURLToPath } from 'node:url';
import type { AcceptanceState, Fault, InviteState } from '../../../src/core/gen/api';
import { en } from '../../../src/i18n/en';
import { ru } from '../../../src/i18n/ru';
import { readFileSync } from 'node:fs';
import { expect, expectAccessible, expectAccessibleIn, openNewest, openSearch, PHONE, test } from './page';

// Every text for something that goes wrong, on the screen where it can happen, in both languages; and axe on what it
// looks like there, English in the light theme, Russian in the dark one.
const LANGUAGES = { en, ru };
const LINK = 'http://127.0.0.1:4180/q7Jx2mV0pLr3sT9w#c29tZWJvZHkgZWxzZQ';

/** Which call each fault can come from, and how to make it from the page. */
const PICTURE = fileURLToPath(new URL('../../../../docs/pictures/invite-light.png', import.meta.url));
const BY_CALL: Record<Fault | 'profileInUse' | 'disconnected', 'init' | 'words' | 'accept' | 'route' | 'invite' | 'approve' | 'send' | 'photo' | 'group' | 'poll' | 'role' | 'react' | 'edit' | 'unlock' | 'rename' | 'screen'> = {
  noAccount: 'rename', accountExists: 'init', badName: 'init', badWords: 'words', brokenLink: 'accept', routeNotInvite: 'accept', inviteNotRoute: 'route',
  brokenRoute: 'route', newerLink: 'accept', linkExpired: 'accept', ownInvite: 'accept', alreadyAccepted: 'accept', noRelay: 'invite', notFound: 'approve',
  badMedia: 'photo', mediaTooBig: 'photo', badEmoji: 'react', tooManyReactions: 'react', badPoll: 'poll', badPlace: 'rename', tooFar: 'rename', noSafetyCode: 'rename', numbersDiffer: 'rename', pollClosed: 'poll', notYours: 'edit', badText: 'send', locked: 'rename', wrongPassphrase: 'unlock', badParams: 'rename', noMethod: 'rename', newerDatabase: 'screen', brokenDatabase: 'screen',
  diskFull: 'send', tooMany: 'invite', internal: 'rename', profileInUse: 'screen', disconnected: 'rename',
  notHome: 'invite', brokenDeviceLink: 'rename', brokenBundle: 'rename', notLetIn: 'send', stillLooking: 'invite', notBackYet: 'send', revoked: 'send', notAllowed: 'role', notMember: 'role', memberAlready: 'role', groupFull: 'group', lastOwner: 'role', ownerHeard: 'role', noKeysYet: 'group',
};

for (const [lang, words] of Object.entries(LANGUAGES) as ['en' | 'ru', typeof en][]) {
  test.describe(lang, () => {
    test.use(PHONE);

    for (const [fault, where] of Object.entries(BY_CALL) as [Fault, (typeof BY_CALL)[Fault]][]) {
      test(`${fault} is said at ${where}`, async ({ page, open }) => {
        const fail = (method: string): Promise<void> => page.evaluate(([name, kind]) => void window.mock!.backend.failing.set(name!, kind as Fault), [method, fault]);
        switch (where) {
          case 'screen': {
            await open({ scenario: 'talk', fault, lang });
            await page.getByRole('button', { name: lang === 'ru' ? 'Русский' : 'English' }).click();
            const screen = words.screens.faults[fault as 'newerDatabase'];
            await expect(page.getByRole('alert')).toHaveText(screen.title);
            await expect(page.getByText(screen.body)).toBeVisible();
            await expectAccessibleIn(page, lang);
            return;
          }
          case 'init':
          case 'words': {
            await open({ scenario: 'fresh', lang });
            await page.getByRole('button', { name: lang === 'ru' ? 'Русский' : 'English' }).click();
            await page.getByRole('button', { name: where === 'init' ? words.start.without : words.start.haveWords }).click();
            if (where === 'words') await page.getByLabel(words.start.wordsLabel).fill('one two three');
            await page.getByLabel(words.start.nameLabel).fill('Ana');
            await fail('init');
            await page.locator('button[type=submit]').click();
            break;
          }
          case 'accept': {
            await open({ scenario: 'talk', hash: '#/invite', lang });
            await page.getByRole('button', { name: words.chats.accept }).click();
            await page.getByLabel(words.invitation.label).fill(LINK);
            await fail('accept');
            await page.getByRole('button', { name: words.invitation.accept }).click();
            break;
          }
          case 'route': {
            await open({ scenario: 'alone', hash: '#/settings', lang });
            await page.getByLabel(words.settings.route).fill('stone:rAAAABBBBCCCC');
            await fail('relay.add');
            await page.getByRole('button', { name: words.settings.add, exact: true }).click();
            break;
          }
          case 'invite': {
            await open({ scenario: 'talk', hash: '#/invite', lang });
            await fail('invite.create');
            await page.getByRole('button', { name: words.invite.make }).click();
            break;
          }
          case 'approve': {
            await open({ scenario: 'talk', hash: '#/requests', lang });
            await page.evaluate(() => window.mock!.backend.addRequest('Bo'));
            await fail('approve');
            await page.getByRole('button', { name: words.requests.approve }).click();
            break;
          }
          case 'photo': {
            await open({ scenario: 'talk', hash: '#/chat/2', lang });
            await fail('media.send');
            await page.locator('input[type=file]').setInputFiles(PICTURE);
            await expect(page.getByAltText(words.media.chosen)).toBeVisible();
            await page.getByRole('button', { name: words.chat.send }).click();
            break;
          }
          case 'send': {
            await open({ scenario: 'talk', hash: '#/chat/2', lang });
            await fail('send');
            await page.getByRole('textbox').fill('hello');
            await page.getByRole('button', { name: words.chat.send, exact: true }).click();
            break;
          }
          case 'group': {
            await open({ scenario: 'talk', hash: '#/group', lang });
            await page.getByLabel(words.groups.name).fill('The dacha');
            await fail('group.create');
            await page.getByRole('button', { name: words.groups.create }).click();
            break;
          }
          case 'poll': {
            await open({ scenario: 'talk', hash: '#/chat/2/contact', lang });
            await page.getByRole('button', { name: words.polls.start }).click();
            await page.getByLabel(words.polls.question).fill('When?');
            for (const number of [1, 2]) await page.getByLabel(words.polls.choice(number)).fill(`at ${number}`);
            await fail('poll.send');
            await page.getByRole('button', { name: words.polls.ask }).click();
            break;
          }
          case 'role': {
            await open({ scenario: 'group', hash: '#/chat/8/contact', lang });
            await page.locator('.members select').first().waitFor();
            await fail('group.role');
            await page.locator('.members select').first().selectOption('moderator');
            break;
          }
          case 'react': {
            await open({ scenario: 'talk', hash: '#/chat/2', lang });
            await openNewest(page);
            await fail('react');
            await page.getByRole('button', { name: '👍', exact: true }).click();
            break;
          }
          case 'edit': {
            await open({ scenario: 'talk', hash: '#/chat/4', lang });
            await openNewest(page);
            await page.getByRole('button', { name: words.message.edit }).click();
            await fail('edit');
            await page.getByRole('textbox').press('Enter');
            await page.getByRole('button', { name: words.chat.save }).click();
            break;
          }
          case 'unlock': {
            await open({ scenario: 'locked', lang });
            await page.getByRole('button', { name: lang === 'ru' ? 'Русский' : 'English' }).click();
            await page.getByLabel(words.lock.passphrase).fill('wrong');
            await page.getByRole('button', { name: words.lock.unlock }).click();
            break;
          }
          case 'rename': {
            await open({ scenario: 'talk', hash: '#/chat/2/contact', lang });
            await page.getByLabel(words.contact.name).fill('Bo');
            await fail('contact.rename');
            await page.getByRole('button', { name: words.app.save }).click();
            break;
          }
        }
        await expect(page.getByText(words.faults[fault]).first()).toBeVisible();
        await expectAccessibleIn(page, lang);
      });
    }

    const acceptances: Record<Exclude<AcceptanceState, 'accepted'>, string> = {
      saved: words.acceptance.saved.body, needsWords: words.acceptance.needsWords.body, claimed: words.acceptance.claimed.body, waiting: words.acceptance.waiting.body,
      declined: words.acceptance.failed.declined.body, used: words.acceptance.failed.used.body, expired: words.acceptance.failed.expired.body,
      wordsWrong: words.acceptance.failed.wordsWrong.body, doorSpent: words.acceptance.failed.doorSpent.body, cardWrong: words.acceptance.failed.cardWrong.body, blocked: words.acceptance.failed.blocked.body,
      dealt: words.acceptance.dealt.body, noRoom: words.acceptance.failed.noRoom.body,
    };
    for (const [state, sentence] of Object.entries(acceptances)) {
      test(`invitation ${state} is said on its page`, async ({ page, open }) => {
        await open({ scenario: 'alone', lang });
        await page.getByRole('button', { name: words.chats.accept }).click();
        await page.getByLabel(words.invitation.label).fill(LINK);
        await page.getByRole('button', { name: words.invitation.accept }).click();
        await expect(page.getByText(words.acceptance.saved.body)).toBeVisible();
        if (state === 'claimed' || state === 'waiting') {
          // There is a chat now: the page goes there, and says it above the field.
          await page.evaluate((to) => window.mock!.backend.setAcceptance([...window.mock!.backend.acceptances.keys()][0]!, to as never, 'Лена'), state);
          await expect(page.getByText(words.chat.waiting('Лена'))).toBeVisible();
          await expectAccessibleIn(page, lang);
          return;
        }
        await page.evaluate((to) => window.mock!.backend.setAcceptance([...window.mock!.backend.acceptances.keys()][0]!, to as never), state);
        await expect(page.getByText(sentence)).toBeVisible();
        await expectAccessibleIn(page, lang);
      });
    }

    for (const state of ['preparing', 'used', 'expired', 'revoked', 'attacked'] as const satisfies readonly InviteState[]) {
      test(`own invitation ${state} is said on its page`, async ({ page, open }) => {
        await open({ scenario: 'talk', hash: '#/invite', lang });
        await page.getByRole('button', { name: words.invite.make }).click();
        await expect(page.locator('.qr')).toBeVisible();
        await page.evaluate((to) => window.mock!.backend.changeInvite([...window.mock!.backend.invites.keys()].at(-1)!, { state: to }), state);
        await expect(page.getByText(words.invite.state[state].body)).toBeVisible();
        await expectAccessibleIn(page, lang);
      });
    }

    test('used twice: an alarm on its page and in the list', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/invite', lang });
      await page.getByRole('button', { name: words.invite.make }).click();
      await expect(page.locator('.qr')).toBeVisible();
      await page.evaluate(() => window.mock!.backend.changeInvite([...window.mock!.backend.invites.keys()].at(-1)!, { usedTwice: true, state: 'used' }));
      await expect(page.getByText(words.invite.usedTwice)).toBeVisible();
      await expectAccessibleIn(page, lang);
      await page.getByRole('button', { name: words.app.back }).click();
      await expect(page.getByText(words.invite.usedTwiceTitle)).toBeVisible();
      await expectAccessibleIn(page, lang);
    });

    test('works only on this computer, only in this network', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/invite', lang });
      await page.getByRole('button', { name: words.invite.make }).click();
      await expect(page.getByText(words.invite.thisComputer)).toBeVisible();
      await page.evaluate(() => window.mock!.backend.changeInvite([...window.mock!.backend.invites.keys()].at(-1)!, { reach: 'localNetwork' }));
      await expect(page.getByText(words.invite.localNetwork)).toBeVisible();
      await page.evaluate(() => window.mock!.backend.changeInvite([...window.mock!.backend.invites.keys()].at(-1)!, { reach: 'internet' }));
      await expect(page.getByText(words.invite.localNetwork)).toHaveCount(0);
    });

    for (const connection of ['connected', 'connecting', 'offline', 'nearby', 'noRelay'] as const) {
      test(`connection ${connection} is said on the line and explained`, async ({ page, open }) => {
        await open({ scenario: 'talk', connection, lang });
        const line = page.locator('button.line');
        await expect(line).toContainText(words.connection[connection].line);
        await expect(line).toContainText(words.connection[connection].sub);
        await line.click();
        await expect(page.getByRole('dialog')).toContainText(words.connection.explain[connection]);
        await expectAccessibleIn(page, lang);
      });
    }

    test('offline: the line counts what waits', async ({ page, open }) => {
      await open({ scenario: 'talk', connection: 'offline', hash: '#/chat/2', lang });
      for (const text of ['one', 'two']) {
        await page.getByRole('textbox').fill(text);
        await page.getByRole('button', { name: words.chat.send, exact: true }).click();
        await expect(page.getByRole('textbox')).toHaveValue(''); // what is typed before it is empty would be lost
      }
      await expect(page.locator('article').last()).toHaveAttribute('data-state', 'queued');
      await page.getByRole('button', { name: words.app.back }).click();
      await expect(page.locator('button.line')).toContainText(words.connection.queued(2));
    });

    test('the program behind the page is away and comes back', async ({ page, open, mock }) => {
      await open({ scenario: 'talk', lang });
      await expect(page.locator('.chat').first()).toBeVisible();
      await mock((handle) => handle.cut());
      await expect(page.locator('button.line')).toContainText(words.connection.detached.line);
      await expect(page.locator('button.line')).toContainText(words.connection.detached.sub);
      await page.locator('button.line').click();
      await expect(page.getByRole('dialog')).toContainText(words.connection.explain.detached);
      await expectAccessibleIn(page, lang);
      await page.keyboard.press('Escape');
      await mock((handle) => handle.heal());
      await expect(page.locator('button.line')).toContainText(words.connection.connected.line, { timeout: 10_000 });
    });

    test('clock off, disk full', async ({ page, open }) => {
      await open({ scenario: 'talk', lang, clockDays: 3 });
      await expect(page.getByText(words.connection.clock(3))).toBeVisible();
      await page.evaluate(() => window.mock!.backend.emit({ kind: 'clockOff', offsetMs: -86_400_000 }));
      await expect(page.getByText(words.connection.clock(1))).toBeVisible();
      await page.evaluate(() => window.mock!.backend.emit({ kind: 'clockOff', offsetMs: 0 }));
      await expect(page.getByText(words.connection.clock(1))).toHaveCount(0);
      await page.evaluate(() => window.mock!.backend.emit({ kind: 'diskFull' }));
      await expect(page.getByText(words.connection.diskFull)).toBeVisible();
      await expectAccessibleIn(page, lang);
    });

    for (const fault of ['diskFull', 'internal'] as const) {
      test(`${fault} at the start fills the screen, and trying again helps`, async ({ page, open }) => {
        await open({ scenario: 'talk', fault, lang });
        await page.getByRole('button', { name: lang === 'ru' ? 'Русский' : 'English' }).click();
        await expect(page.getByText(words.screens.faults[fault].body)).toBeVisible();
        await expectAccessibleIn(page, lang);
        await page.evaluate(() => (window.mock!.backend.statusFault = null));
        await page.getByRole('button', { name: words.app.retry }).click();
        await expect(page.locator('.chat').first()).toBeVisible();
      });
    }

    test('no access any more', async ({ page, open }) => {
      await open({ scenario: 'noAccess', lang });
      await page.getByRole('button', { name: lang === 'ru' ? 'Русский' : 'English' }).click();
      await expect(page.getByText(words.screens.noAccess.body)).toBeVisible();
    });

    test('a silent friend: the message is kept, never delivered', async ({ page, open }) => {
      await open({ scenario: 'talk', lang, hash: '#/chat/4' });
      await page.evaluate(() => {
        const { backend } = window.mock!;
        const chat = backend.chats.get(4)!;
        chat.heardAt = Date.now() - 5 * 86_400_000;
        backend.emit({ kind: 'chatChanged', chat: { ...chat, last: { ...chat.last!, sentAt: Date.now() - 2 * 86_400_000 } } });
      });
      await expect(page.getByText(words.chat.silent('Andry', lang === 'ru' ? 'вторник' : 'Tuesday'))).toBeVisible();
    });

    test('messages that are missing, and one for a newer version', async ({ page, open }) => {
      await open({ scenario: 'talk', lang, hash: '#/chat/3' });
      await page.evaluate(() => {
        const { backend } = window.mock!;
        const chat = backend.chats.get(3)!;
        backend.emit({ kind: 'messageAdded', message: backend.place(chat, 'late', { missingBefore: 2, state: 'received' }) });
        backend.emit({ kind: 'messageAdded', message: backend.place(chat, 'later', { missingBefore: 3, askedFor: true, state: 'received' }) });
        backend.emit({ kind: 'messageAdded', message: backend.place(chat, '', { kind: 'unknown', state: 'received' }) });
      });
      await expect(page.getByText(words.chat.missing(2))).toBeVisible();
      await expect(page.getByText(words.chat.askedFor(3))).toBeVisible();
      await expect(page.getByText(words.chat.newer)).toBeVisible();
      await expectAccessibleIn(page, lang);
    });

    test('a message that did not go out: said at its place, and explained', async ({ page, open }) => {
      await open({ scenario: 'talk', lang, hash: '#/chat/2' });
      await page.evaluate(() => void window.mock!.backend.failing.set('send', 'diskFull'));
      await page.getByRole('textbox').fill('hello');
      await page.getByRole('button', { name: words.chat.send, exact: true }).click();
      await page.locator('.failed').getByRole('button').click();
      await expect(page.getByRole('dialog')).toContainText(words.message.explain.failed);
      await expectAccessibleIn(page, lang);
    });

    test('a late message of a group: written after its sender was removed', async ({ page, open }) => {
      await open({ scenario: 'group', lang, hash: '#/chat/8' });
      await page.evaluate(() => {
        const { backend } = window.mock!;
        backend.emit({ kind: 'messageAdded', message: backend.place(backend.chats.get(8)!, 'hello', { from: 'p', fromName: 'Pavel', late: true }) });
      });
      await expect(page.getByText(words.groups.late)).toBeVisible();
      await expectAccessibleIn(page, lang);
    });

    test('the browser does not let us copy: said, and the link can be selected', async ({ page, open }) => {
      await page.addInitScript(() => (navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed'))));
      await open({ scenario: 'talk', lang, hash: '#/invite' });
      await page.locator('input[value=plain]').check();
      await page.getByRole('button', { name: words.invite.make }).click();
      await page.getByRole('button', { name: words.app.copy, exact: true }).click();
      await expect(page.getByText(words.invite.copyFailed)).toBeVisible();
      await expectAccessibleIn(page, lang);
    });

    test('a picture without a code', async ({ page, open }) => {
      await open({ scenario: 'talk', lang, hash: '#/invite' });
      await page.getByRole('button', { name: words.chats.accept }).click();
      await page.locator('input[type=file]').setInputFiles({ name: 'no.png', mimeType: 'image/png', buffer: readFileSync(new URL('../../../public/logo.svg', import.meta.url)) });
      await expect(page.getByText(words.invitation.noCodeInPicture)).toBeVisible({ timeout: 15_000 });
      await expectAccessibleIn(page, lang);
    });

    test('a passphrase that is too short, and two that differ', async ({ page, open }) => {
      await open({ scenario: 'talk', lang, hash: '#/settings' });
      await page.getByRole('button', { name: words.settings.setPassphrase }).click();
      await page.getByLabel(words.settings.newPassphrase, { exact: true }).fill('short');
      await page.getByLabel(words.settings.againPassphrase).fill('short');
      await page.getByRole('button', { name: words.app.save, exact: true }).click();
      await expect(page.getByRole('alert')).toContainText(words.settings.tooShort);
      await page.getByLabel(words.settings.newPassphrase, { exact: true }).fill('several ordinary words');
      await page.getByRole('button', { name: words.app.save, exact: true }).click();
      await expect(page.getByRole('alert')).toContainText(words.settings.differ);
      await expectAccessibleIn(page, lang);
    });

    test('safety numbers that differ', async ({ page, open }) => {
      await open({ scenario: 'talk', lang, hash: '#/chat/2/safety' });
      await page.getByRole('button', { name: words.safety.different }).click();
      await expect(page.getByText(words.safety.differ)).toBeVisible();
      await expectAccessibleIn(page, lang);
    });

    test('nothing found', async ({ page, open }) => {
      await open({ scenario: 'talk', lang });
      await openSearch(page);
      await page.keyboard.type('zzzz');
      await expect(page.getByRole('dialog')).toContainText(words.search.nothing('zzzz'));
      await expectAccessibleIn(page, lang);
    });

    test('before what cannot be undone: turning away, closing, removing, leaving, destroying', async ({ page, open }) => {
      await open({ scenario: 'group', lang, hash: '#/requests' });
      await page.evaluate(() => void window.mock!.backend.addRequest('Bo'));
      const asked = async (hash: string, button: string | RegExp, title: string): Promise<void> => {
        await page.evaluate((to) => (location.hash = to), hash);
        await page.getByRole('button', { name: button }).first().click();
        await expect(page.getByRole('dialog')).toContainText(title);
        await expectAccessibleIn(page, lang);
        await page.keyboard.press('Escape');
        await expect(page.getByRole('dialog')).toHaveCount(0);
      };
      await asked('#/requests', words.requests.decline, words.requests.declineBody);
      await asked('#/chat/8/contact', words.groups.remove('Pavel'), words.groups.removeBody);
      await asked('#/chat/8/contact', words.groups.leave, words.groups.leaveBody);
      await asked('#/settings', words.settings.wipe, words.settings.wipeTitle);
      await page.evaluate(() => (location.hash = '#/invites'));
      await page.locator('.item').first().click();
      await page.getByRole('button', { name: words.invite.revoke }).click();
      await expect(page.getByRole('dialog')).toContainText(words.invite.revokeBody);
      await expectAccessibleIn(page, lang);
    });

    test('everything is destroyed', async ({ page, open }) => {
      await open({ scenario: 'talk', lang, hash: '#/settings' });
      await page.getByRole('button', { name: words.settings.wipe }).click();
      await page.getByLabel(words.settings.wipeType(words.settings.wipeWord)).fill(words.settings.wipeWord);
      await page.getByRole('dialog').getByRole('button', { name: words.settings.wipeDo }).click();
      await expect(page.getByText(words.screens.wiped.body)).toBeVisible();
      await expectAccessibleIn(page, lang);
    });

    test('a relay that keeps messages back', async ({ page, open }) => {
      await open({ scenario: 'talk', lang });
      await page.evaluate(() => {
        const { backend } = window.mock!;
        backend.relays[0]!.withholds = true;
        backend.emit({ kind: 'statusChanged' });
      });
      await page.getByRole('button', { name: words.connection.withheld }).click();
      await expect(page.getByText(words.connection.withheldHint)).toBeVisible();
      await expect(page.getByRole('dialog').getByText(words.connection.relayWithholds)).toBeVisible();
      await expectAccessible(page);
    });

    test('a group where nobody was heard for long', async ({ page, open }) => {
      await open({ scenario: 'group', lang });
      const id = await page.evaluate(() => {
        const { backend } = window.mock!;
        const chat = [...backend.chats.values()].find(({ group }) => group !== null)!;
        backend.chats.set(chat.id, { ...chat, group: { ...chat.group!, behind: true } });
        backend.emit({ kind: 'chatChanged', chat: backend.chats.get(chat.id)! });
        return chat.id;
      });
      await page.evaluate((chat) => void (location.hash = `#/chat/${String(chat)}`), id);
      await expect(page.getByText(words.groups.behind)).toBeVisible();
      await expectAccessible(page);
    });

    test('keys that are not as they should be', async ({ page, open }) => {
      await open({ scenario: 'talk', lang, hash: '#/chat/3' });
      await page.evaluate(() => {
        const { backend } = window.mock!;
        const chat = backend.chats.get(3)!;
        const alarms = [{ kind: 'twoCommits' as const, account: 'a1', name: 'Andry', at: 1 }, { kind: 'notMine' as const, account: 'a2', name: 'Ana', at: 2 }, { kind: 'twoLogs' as const, account: 'a3', name: 'Bo', at: 3 }];
        backend.chats.set(3, { ...chat, alarms });
        backend.emit({ kind: 'chatChanged', chat: backend.chats.get(3)! });
      });
      await expect(page.getByText(words.alarms.twoCommits.title('Andry'))).toBeVisible();
      await expect(page.getByText(words.alarms.notMine.title(''))).toBeVisible();
      await expect(page.getByText(words.alarms.twoLogs.title('Bo'))).toBeVisible();
      await expect(page.getByRole('alert')).toHaveCount(3);
      await expectAccessible(page);
    });

    test('a text over 16 KB is told before it is sent', async ({ page, open }) => {
      await open({ scenario: 'talk', lang, hash: '#/chat/2' });
      await page.getByRole('textbox').fill('я'.repeat(8193));
      await expect(page.getByRole('alert')).toHaveText(words.chat.tooLong(lang === 'ru' ? '16,1' : '16.1'));
      await expect(page.getByRole('button', { name: words.chat.send, exact: true })).toBeDisabled();
      await page.getByRole('textbox').fill('я'.repeat(8192));
      await expect(page.getByRole('button', { name: words.chat.send, exact: true })).toBeEnabled();
    });

    test('the messages of a chat cannot be read: said, and tried again', async ({ page, open }) => {
      await open({ scenario: 'talk', lang });
      await page.evaluate(() => void window.mock!.backend.failing.set('messages', 'internal'));
      await page.locator('.chat').nth(1).click();
      await expect(page.getByText(words.chat.loadFailed)).toBeVisible();
      await page.getByRole('button', { name: words.app.retry }).click();
      await expect(page.locator('article[data-key]').first()).toBeVisible();
    });
  });
}
