import { describe, expect, test } from 'vitest';
import { add, append, EMPTY, fromPage, prepend, setState } from '../../src/view-models/window';
import { message, page } from './made';

const positions = (window: { messages: readonly { position: number }[] }): number[] => window.messages.map(({ position }) => position);

describe('the loaded stretch of a chat', () => {
  test('an older page goes before, and the index follows it', () => {
    const window = prepend(fromPage(page(61, 101, 100)), page(21, 61, 100));
    expect(positions(window)[0]).toBe(21);
    expect(window.messages).toHaveLength(80);
    expect(window).toMatchObject({ index: 20, total: 100, moreBefore: true, moreAfter: false });
  });

  test('the oldest page ends it', () => {
    expect(prepend(fromPage(page(11, 31, 100)), page(1, 11, 100))).toMatchObject({ index: 0, moreBefore: false });
  });

  test('pages that overlap double nothing', () => {
    expect(positions(prepend(fromPage(page(5, 8, 10)), page(3, 7, 10)))).toEqual([3, 4, 5, 6, 7]);
    expect(positions(append(fromPage(page(5, 8, 10)), page(6, 11, 10)))).toEqual([5, 6, 7, 8, 9, 10]);
  });

  test('a new message joins the end', () => {
    const window = add(fromPage(page(1, 4, 3)), message(4));
    expect(positions(window)).toEqual([1, 2, 3, 4]);
    expect(window.total).toBe(4);
  });

  test('a new message does not join a stretch that ends earlier, but is counted', () => {
    const window = add(fromPage(page(1, 4, 10)), message(11));
    expect(positions(window)).toEqual([1, 2, 3]);
    expect(window).toMatchObject({ total: 11, moreAfter: true });
  });

  test('the same message twice is one', () => {
    const window = add(fromPage(page(1, 4, 3)), message(2, { text: 'again' }));
    expect(window.messages).toHaveLength(3);
    expect(window.messages[1]?.text).toBe('again');
    expect(window.total).toBe(3);
  });

  test('a late message takes its place in the order', () => {
    const window = fromPage({ ...page(1, 3, 3), messages: [message(1), message(3)], moreAfter: false });
    expect(positions(add(window, message(2)))).toEqual([1, 2, 3]);
  });

  test('a late message before the stretch moves the index only', () => {
    const window = add(fromPage(page(50, 60, 60)), message(20));
    expect(window.messages).toHaveLength(10);
    expect(window).toMatchObject({ index: 50, total: 61 });
  });

  test('the first message of an empty chat', () => {
    expect(positions(add(EMPTY, message(1)))).toEqual([1]);
  });

  test('a state goes forward, never back', () => {
    const window = fromPage({ ...page(1, 2, 1), messages: [message(1, { mine: true, state: 'queued' })] });
    const delivered = setState(window, 'm1', 'delivered');
    expect(delivered.messages[0]?.state).toBe('delivered');
    expect(setState(delivered, 'm1', 'carried').messages[0]?.state).toBe('delivered');
    expect(setState(window, 'unknown', 'read')).toBe(window);
  });
});
