import { describe, expect, it } from 'vitest';
import { en } from '../../src/i18n/en';
import { marked } from '../../src/core/transports/mock/marks';
import { begunMention, isOpenable, previewText, signOf, spokenText, toggle } from '../../src/view-models/marks';
import { textOf } from '../../src/view-models/content';
import { message } from './made';

describe('marked texts', () => {
  const told = message(1, marked('so **it** ends: ||she leaves||'));

  it('hide their spoilers wherever they are not drawn', () => {
    expect(previewText(told)).toBe('so it ends: ▒▒▒ ▒▒▒▒▒▒');
    expect(spokenText(told, en)).toBe('so it ends: hidden text');
    expect(textOf(told, '', en, 'en')).not.toContain('leaves');
    expect(previewText(message(1, { text: '**as it is**' }))).toBe('**as it is**');
  });

  it('open nothing but http and https', () => {
    expect(['https://a.example', 'http://a', 'HTTPS://A'].every(isOpenable)).toBe(true);
    expect(['javascript:alert(1)', 'https:/a', 'https://', 'data:text/html,x', '//a.example', ' https://a'].some(isOpenable)).toBe(false);
  });
});

describe('signs by keyboard', () => {
  it('stand around what is selected, and go again', () => {
    const field = { text: 'one two ', from: 4, to: 8 };
    const bold = toggle(field, '**');
    expect(bold).toEqual({ text: 'one **two** ', from: 6, to: 9 });
    expect(toggle(bold, '**')).toEqual({ text: 'one two ', from: 4, to: 7 });
    expect(toggle({ text: '', from: 0, to: 0 }, '`')).toEqual({ text: '``', from: 1, to: 1 });
  });

  it('have the keys that people know', () => {
    expect(['b', 'i', 'x'].map((key) => signOf({ key, shiftKey: false }))).toEqual(['**', '__', null]);
    expect(['X', 'M', 'P', 'B'].map((key) => signOf({ key, shiftKey: true }))).toEqual(['~~', '`', '||', null]);
  });

  it('know when a name is being typed', () => {
    expect([begunMention('hi @', 4), begunMention('hi @Le', 6), begunMention('@Le na', 6)]).toEqual(['', 'Le', 'Le na']);
    expect([begunMention('me@Le', 5), begunMention('no', 2), begunMention('@Le', 0)]).toEqual([null, null, null]);
  });
});
