import { describe, expect, test } from 'vitest';
import type { Sending } from '../../src/state/timeline.svelte';
import { rows } from '../../src/view-models/rows';
import { message } from './made';

const HOUR = 3_600_000;
const noon = new Date(2026, 10, 22, 12, 0).getTime();
const sending = (clientId: string, fault: Sending['fault'] = null): Sending => ({ clientId, chat: 1, text: 'hi', sentAt: noon, answers: null, fault });

describe('rows of the timeline', () => {
  test('bubbles of one sender join, another sender begins a new run', () => {
    const made = rows([message(1, { sentAt: noon }), message(2, { sentAt: noon + 1000 }), message(3, { sentAt: noon + 2000, from: 'me', mine: true })], [], 'me', null);
    expect(made.map(({ first, last }) => [first, last])).toEqual([[true, false], [false, true], [true, true]]);
  });

  test('a long pause, a gap, and a new day begin a new run', () => {
    const made = rows([message(1, { sentAt: noon }), message(2, { sentAt: noon + HOUR }), message(3, { sentAt: noon + HOUR + 1, missingBefore: 2 }), message(4, { sentAt: noon + 24 * HOUR })], [], 'me', null);
    expect(made.every(({ first }) => first)).toBe(true);
    expect(made.map(({ day }) => day)).toEqual([true, false, false, true]);
  });

  test('the divider stands above the first unread message and splits the run', () => {
    const made = rows([message(1, { sentAt: noon }), message(2, { sentAt: noon + 1 }), message(3, { sentAt: noon + 2 })], [], 'me', 2);
    expect(made.map(({ divider }) => divider)).toEqual([false, true, false]);
    expect(made[0]?.last).toBe(true);
  });

  test('a text on its way stands at the end at once', () => {
    const made = rows([message(1)], [sending('c1')], 'me', null);
    expect(made[1]).toMatchObject({ key: 'c1', state: 'sending' });
  });

  test('the answer takes the place of the text on its way, under the same key', () => {
    const made = rows([message(1), message(2, { clientId: 'c1', mine: true, state: 'queued' })], [sending('c1')], 'me', null);
    expect(made).toHaveLength(2);
    expect(made[1]).toMatchObject({ key: 'c1', state: 'queued', sending: null });
  });

  test('a broken pipe is not a failure, a fault is', () => {
    const made = rows([], [sending('c1', 'disconnected'), sending('c2', 'diskFull')], 'me', null);
    expect(made.map(({ state }) => state)).toEqual(['sending', 'failed']);
  });
});
