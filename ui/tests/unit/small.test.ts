import { describe, expect, test } from 'vitest';
import { pageOf, pathOf, type Page } from '../../src/state/router.svelte';
import { matchingChats } from '../../src/view-models/search';
import { clockDays, colourOf, initialOf, kilobytes, lineOf, plainlyWrong, readUpTo, silentSince, textBytes, TEXT_BYTES_MAX, wordCount } from '../../src/view-models/small';
import { clock, dayInSentence, dayLabel, daysApart, listTime } from '../../src/view-models/time';
import { browserLocale } from '../../src/i18n/index.svelte';
import type { Group } from '../../src/core/gen/api';
import { askedForSuccession, candidates, givable, mayActOn, standing } from '../../src/view-models/group';
import { keptRows } from '../../src/runtime/focus';
import { isFailure } from '../../src/view-models/acceptance';
import { chat, message } from './made';

const now = new Date(2026, 10, 22, 20, 46).getTime();
const DAY = 86_400_000;
const en = { today: 'Today', yesterday: 'Yesterday' };

describe('times', () => {
  test('days go by the calendar, not by 24 hours', () => {
    expect(daysApart(new Date(2026, 10, 21, 23, 59).getTime(), new Date(2026, 10, 22, 0, 1).getTime())).toBe(1);
  });

  test('day labels', () => {
    expect(dayLabel(now, now, 'en', en)).toBe('Today');
    expect(dayLabel(now - DAY, now, 'en', en)).toBe('Yesterday');
    expect(dayLabel(now - 2 * DAY, now, 'en', en)).toBe('Friday');
    expect(dayLabel(now - 18 * DAY, now, 'en', en)).toBe('4 November');
    expect(dayLabel(now - 400 * DAY, now, 'en', en)).toContain('2025');
    expect(dayLabel(now - 2 * DAY, now, 'ru', en)).toBe('Пятница');
    expect(dayLabel(now - 18 * DAY, now, 'ru', en)).toBe('4 ноября');
  });

  test('times in a list', () => {
    expect(listTime(now, now, 'en')).toBe('20:46');
    expect(listTime(now - 2 * DAY, now, 'en')).toBe('Fri');
    expect(listTime(now - 2 * DAY, now, 'ru')).toBe('Пт');
    expect(listTime(now - 18 * DAY, now, 'en')).toBe('4 Nov');
  });

  test('a clock ahead does not make a day in the future', () => {
    expect(listTime(now + 3 * DAY, now, 'en')).toBe(clock(now + 3 * DAY, 'en'));
  });

  test('a day inside a sentence', () => {
    expect(dayInSentence(now - 5 * DAY, now, 'en')).toBe('Tuesday');
    expect(dayInSentence(now - 5 * DAY, now, 'ru')).toBe('вторник');
    expect(dayInSentence(now - 18 * DAY, now, 'ru')).toBe('4 ноября');
  });
});

describe('small answers', () => {
  test('bytes are counted as UTF-8 after trimming', () => {
    expect(textBytes('  дом ')).toBe(6);
    expect(textBytes('🙂')).toBe(4);
    expect(TEXT_BYTES_MAX).toBe(16_384);
  });

  test('one byte too long never reads as 16.0', () => {
    expect(kilobytes(TEXT_BYTES_MAX + 1, 'en')).toBe('16.1');
    expect(kilobytes(17_500, 'ru')).toBe('17,1');
  });

  test('initials are whole graphemes', () => {
    expect(initialOf('лена')).toBe('Л');
    expect(initialOf('👨‍👩‍👧 family')).toContain('👨');
    expect(initialOf('   ')).toBe('?');
    expect(initialOf('\u202eevil')).toBe('E');
  });

  test('a contact keeps its colour', () => {
    expect(colourOf('abc')).toBe(colourOf('abc'));
    expect(colourOf('abc')).toBeLessThan(8);
  });

  test('a silent friend is named only while a message waits and a day has passed', () => {
    const waiting = chat(1, { last: message(1, { mine: true, state: 'carried', sentAt: now - 2 * DAY }), heardAt: now - 5 * DAY });
    expect(silentSince(waiting, now)).toBe(now - 5 * DAY);
    expect(silentSince({ ...waiting, heardAt: now - 1000 }, now)).toBeNull();
    expect(silentSince({ ...waiting, last: message(1, { mine: true, state: 'delivered' }) }, now)).toBeNull();
    expect(silentSince({ ...waiting, last: message(1) }, now)).toBeNull();
  });

  test('connection line: without the program nothing else matters', () => {
    expect(lineOf(null, true)).toBe('connecting');
    expect(lineOf(null, false)).toBe('detached');
  });

  test('clock in whole days', () => {
    expect(clockDays(null)).toBe(0);
    expect(clockDays({ clockOffsetMs: -3.2 * DAY } as never)).toBe(3);
  });

  test('what is plainly not an invitation', () => {
    expect(plainlyWrong('hello')).toBe('brokenLink');
    expect(plainlyWrong('http://127.0.0.1:4180/abc')).toBe('brokenLink');
    expect(plainlyWrong('stone:rAAAABBBB')).toBe('routeNotInvite');
    expect(plainlyWrong(' stone:iAAAABBBB ')).toBeNull();
    expect(plainlyWrong('http://127.0.0.1:4180/abc#secret')).toBeNull();
  });

  test('recovery words are counted over any white space', () => {
    expect(wordCount(' a  b\nc\t')).toBe(3);
    expect(wordCount('')).toBe(0);
  });

  test('reading goes up to the last message in sight, and only forward', () => {
    const messages = [message(1), message(2), message(3)];
    expect(readUpTo(messages, 1, 2)).toBe(2);
    expect(readUpTo(messages, 0, 2)).toBeNull();
    expect(readUpTo(messages, 2, null)).toBeNull();
  });

  test('which acceptances stand still', () => {
    expect((['saved', 'needsWords', 'claimed', 'waiting', 'accepted', 'dealt'] as const).some(isFailure)).toBe(false);
    expect((['declined', 'used', 'expired', 'wordsWrong', 'doorSpent', 'cardWrong', 'blocked', 'noRoom'] as const).every(isFailure)).toBe(true);
  });

  test('language of the browser, English when none is known', () => {
    expect(browserLocale(['uk-UA', 'ru-RU', 'en'])).toBe('ru');
    expect(browserLocale(['fr'])).toBe('en');
  });
});

describe('jumping to a chat', () => {
  const chats = [chat(1, { name: 'Школа, Ольга' }), chat(2, { name: 'Ольга Сергеевна' }), chat(3, { name: 'Ikaika Māhoe' }), chat(4, { name: 'Кольт' })];
  test('beginnings of names first, then of words, then anything', () => {
    expect(matchingChats(chats, 'оль').map(({ id }) => id)).toEqual([2, 1, 4]);
  });
  test('accents and case do not matter', () => {
    expect(matchingChats(chats, 'mahoe').map(({ id }) => id)).toEqual([3]);
  });
  test('nothing typed: the newest', () => {
    expect(matchingChats(chats, ' ')).toHaveLength(4);
  });
});

describe('rows kept around the focus', () => {
  test('never outside the list', () => {
    expect(keptRows(0, 0, 3)).toEqual([0, 1, 2]);
    expect(keptRows(10, 10, 100)).toEqual([6, 7, 8, 9, 10, 11, 12, 13, 14]);
    expect(keptRows(-1, -1, 0)).toEqual([]);
    // Keys came quicker than rows: where the focus still is stays too.
    expect(keptRows(20, 3, 100)).toEqual([3, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
    expect(keptRows(2, 90, 50)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});

describe('addresses', () => {
  const pages: Page[] = [{ name: 'home' }, { name: 'chat', chat: 3 }, { name: 'contact', chat: 3 }, { name: 'safety', chat: 3 }, { name: 'invite' }, { name: 'invites' }, { name: 'invitation', id: 'ab' }, { name: 'publics' }, { name: 'newPublic' }, { name: 'public', id: 'ab' }, { name: 'acceptance', id: 'ab' }, { name: 'requests' }, { name: 'settings' }];
  test.each(pages)('$name comes back from its address', (page) => {
    expect(pageOf(pathOf(page))).toEqual(page);
  });
  test('anything unknown is home', () => {
    for (const hash of ['', '#', '#/nothing', '#/chat/x', '#launch=abc']) expect(pageOf(hash)).toEqual({ name: 'home' });
  });
});

describe('groups', () => {
  const group = (mine: Group['members'][number]['role'], member = true): Group => ({
    chat: 1, name: 'g', description: '', picture: false, mayWrite: 'member', mayAdd: 'member', mayEdit: 'admin', member, large: false, ownerHeardAt: 0, electors: ['a', 'b', 'm'], consentsNeeded: 3, successions: [],
    members: [
      { account: 'o', name: 'O', role: 'owner', me: mine === 'owner' },
      { account: 'a', name: 'A', role: 'admin', me: mine === 'admin' },
      { account: 'b', name: 'B', role: 'admin', me: false },
      { account: 'm', name: 'M', role: 'member', me: mine === 'member' },
    ],
  });
  const touchable = (of: Group): string[] => of.members.filter((one) => mayActOn(standing(of), one)).map(({ account }) => account);

  test('electors are asked for another owner when none was heard for 30 days, and nobody else', () => {
    const days = (count: number): number => count * 86_400_000;
    expect(askedForSuccession(group('member'), days(30))).toBe(true);
    expect(askedForSuccession(group('member'), days(30) - 1)).toBe(false);
    expect(askedForSuccession(group('owner'), days(40))).toBe(false);
    expect(askedForSuccession(group('member', false), days(40))).toBe(false);
    expect(candidates(group('member')).map(({ account }) => account)).toEqual(['a', 'b', 'm']);
  });

  test('nobody acts on who stands at or above them; admins are the owners’ to touch', () => {
    expect(touchable(group('owner'))).toEqual(['a', 'b', 'm']);
    expect(touchable(group('admin'))).toEqual(['m']);
    expect(touchable(group('member'))).toEqual([]);
    expect(touchable(group('owner', false))).toEqual([]);
  });

  test('what may be done follows the group’s policy', () => {
    expect(standing(group('member'))).toMatchObject({ mayAdd: true, mayEdit: false, mayRule: false });
    expect(standing(group('admin'))).toMatchObject({ mayAdd: true, mayEdit: true, mayRule: true });
    expect(standing(group('member', false))).toMatchObject({ mayAdd: false });
  });

  test('owners give any role, admins those below theirs', () => {
    const [owners, admins] = [group('owner'), group('admin')];
    expect(givable(standing(owners), owners.members[3]!)).toEqual(['owner', 'admin', 'moderator', 'member', 'reader']);
    expect(givable(standing(admins), admins.members[3]!)).toEqual(['moderator', 'member', 'reader']);
  });
});
