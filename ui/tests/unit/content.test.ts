import { describe, expect, it } from 'vitest';
import { en } from '../../src/i18n/en';
import { change, fromPage, remove } from '../../src/view-models/window';
import { quoteWords, reactionWords, textOf, timerWords } from '../../src/view-models/content';
import { message, page } from './made';

describe('words beside a message', () => {
  it('says what a message answers: its text, that it was deleted, that it is not here', () => {
    const found = { position: 1, mine: false, fromName: 'Lena', kind: 'text' as const, text: 'at seven?', media: null };
    expect(quoteWords({ id: 'a', found }, en)).toEqual({ name: 'Lena', text: 'at seven?' });
    expect(quoteWords({ id: 'a', found: { ...found, mine: true } }, en).name).toBe(en.chat.you);
    expect(quoteWords({ id: 'a', found: { ...found, kind: 'deleted', text: '' } }, en).text).toBe(en.chat.deleted);
    expect(quoteWords({ id: 'a', found: null }, en)).toEqual({ name: '', text: en.chat.quoteMissing });
  });

  it('names who put an emoji there, and that there are more', () => {
    expect(reactionWords({ emoji: '👍', count: 2, mine: false, names: ['Lena', 'Bo'] }, en)).toBe('👍 2: Lena, Bo');
    expect(reactionWords({ emoji: '👍', count: 3, mine: false, names: ['Lena', 'Bo'] }, en)).toBe('👍 3: Lena, Bo, others');
  });

  it('says a timer in its largest unit, and who has set it', () => {
    expect([5, 90, 3600, 86_400, 604_800].map((seconds) => timerWords(seconds, 'en'))).toEqual(['5 seconds', '90 seconds', '1 hour', '1 day', '1 week']);
    expect(timerWords(300, 'ru')).toBe('5 минут');
    const line = message(1, { kind: 'timer', text: '', mine: true, timerS: null });
    expect(textOf(line, '', en, 'en')).toBe('You: messages stay from now on');
    expect(textOf({ ...line, timerS: 3600 }, '', en, 'en')).toBe('You: messages disappear 1 hour after they are read');
  });

  it('has words for what has no text', () => {
    expect(textOf(message(1, { kind: 'deleted', text: '' }), '', en, 'en')).toBe(en.chat.deleted);
    expect(textOf(message(1, { kind: 'unknown', text: '' }), '', en, 'en')).toBe(en.chat.newer);
    expect(textOf(message(1), '', en, 'en')).toBe('text 1');
  });
});

describe('a loaded stretch', () => {
  it('shows a changed message in its place and lets a removed one go', () => {
    const window = fromPage(page(5, 9, 20));
    expect(change(window, message(6, { text: 'other' })).messages.map(({ text }) => text)).toEqual(['text 5', 'other', 'text 7', 'text 8']);
    expect(change(window, message(17))).toBe(window);
    const left = remove(window, 'm6');
    expect([left.messages.length, left.total, left.index]).toEqual([3, 19, 4]);
    expect(remove(window, 'm17')).toBe(window);
  });
});
