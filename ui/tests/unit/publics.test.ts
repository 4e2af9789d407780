import { describe, expect, test } from 'vitest';
import { byRelay, dayNow, daysLeft, planOf, relaysOf, sorted, standingOf, usualDays, wholeNumber } from '../../src/view-models/publics';
import { publicInvite } from './made';

const DAY = 86_400_000;

describe('how relays spread over days', () => {
  test('usually each is given out on one day, one pair a day', () => {
    expect([0, 4, 5, 14, 64].map(usualDays)).toEqual([1, 2, 3, 7, 32]);
    for (const relays of [4, 5, 14, 63, 64]) expect(planOf(relays, usualDays(relays), null)).toMatchObject({ pairs: 1, spread: 'once' });
  });

  test('without a wish all are given out once', () => { // proves: PUB-4
    expect(planOf(14, 7, null)).toEqual({ pairs: 1, relays: 2, spread: 'once', left: 0 });
    expect(planOf(14, 2, null)).toMatchObject({ pairs: 4, relays: 8, spread: 'again' });
    expect(planOf(7, 4, null)).toMatchObject({ pairs: 1, spread: 'once' });
    expect(planOf(64, 1, null)).toMatchObject({ pairs: 32, relays: 64, spread: 'once' });
    expect(planOf(8, 30, null)).toMatchObject({ pairs: 1, spread: 'again' });
  });

  test('a wish is taken as it is, and what it costs is known', () => {
    expect(planOf(20, 3, 2)).toEqual({ pairs: 2, relays: 4, spread: 'some', left: 8 });
    expect(planOf(4, 60, 5)).toMatchObject({ spread: 'tooMany' });
    expect(planOf(4, 64, 4)).toMatchObject({ relays: 4, spread: 'again' });
  });

  test('numbers as they are typed', () => {
    expect(['1', ' 60 ', '0', '61', '', '-3', '2.5', 'x', '99999'].map((text) => wholeNumber(text, 60))).toEqual([1, 60, null, null, null, null, null, null, null]);
  });
});

describe('one that stands', () => {
  const invite = publicInvite();

  test('four words for where it stands', () => {
    expect((['preparing', 'open', 'expired', 'revoked', 'used', 'attacked'] as const).map(standingOf)).toEqual(['preparing', 'open', 'over', 'closed', 'closed', 'closed']);
  });

  test('the present day counts as left', () => {
    expect([-DAY, 0, 1, DAY - 1, DAY, 2.5 * DAY, 3 * DAY, 9 * DAY].map((now) => daysLeft(invite, now))).toEqual([3, 3, 3, 3, 2, 1, 0, 0]);
  });

  test('which day it is, also for a clock that is off', () => {
    expect([-DAY, 0, DAY, 2.9 * DAY, 7 * DAY].map((now) => dayNow(invite, now))).toEqual([0, 0, 1, 2, 2]);
  });

  test('each relay with its days, once a day, by address', () => {
    expect(byRelay(invite)).toEqual([{ address: 'a:1', days: [0, 2] }, { address: 'b:1', days: [0] }, { address: 'c:1', days: [1, 2] }, { address: 'd:1', days: [1] }]);
    const twice = publicInvite({ days: [['r10:1', 'r9:1', 'r9:1', 'r10:1']] });
    expect(relaysOf(twice, 0)).toEqual(['r10:1', 'r9:1']);
    expect(byRelay(twice).map(({ address }) => address)).toEqual(['r9:1', 'r10:1']);
    expect(relaysOf(twice, 5)).toEqual([]);
  });

  test('open ones first, the newest of each on top', () => {
    const all = [publicInvite({ id: 'a', createdAt: 1 }), publicInvite({ id: 'b', createdAt: 2, state: 'revoked' }), publicInvite({ id: 'c', createdAt: 3, state: 'preparing' })];
    const { open, over } = sorted(all);
    expect([open.map(({ id }) => id), over.map(({ id }) => id)]).toEqual([['c', 'a'], ['b']]);
  });
});
