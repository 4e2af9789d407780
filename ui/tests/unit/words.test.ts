import { describe, expect, test } from 'vitest';
import { en } from '../../src/i18n/en';
import { ru } from '../../src/i18n/ru';
import { isolate, plural } from '../../src/i18n/plural';

type Leaf = { path: string; value: unknown };

function leaves(node: unknown, path = ''): Leaf[] {
  if (typeof node !== 'object' || node === null) return [{ path, value: node }];
  return Object.entries(node).flatMap(([key, value]) => leaves(value, path === '' ? key : `${path}.${key}`));
}

/** All texts of a language; functions are asked with numbers, names and nothing. */
function texts(node: unknown): { path: string; text: string }[] {
  return leaves(node).flatMap(({ path, value }) => {
    if (typeof value === 'string') return [{ path, text: value }];
    const ask = value as (...args: unknown[]) => string;
    if (path === 'acceptance.title') return [{ path, text: ask(null) }, { path, text: ask('Lena') }];
    if (/name|own|words/.test(String(ask).split('=>')[0]!)) return [{ path, text: ask('Lena', 'Tuesday') }];
    return [0, 1, 2, 5, 11, 21, 1500].map((count) => ({ path: `${path}(${count})`, text: ask(count, count) }));
  });
}

const LANGUAGES = { en: texts(en), ru: texts(ru) };

describe('words', () => {
  test('both languages have the same keys', () => {
    const keys = (dict: unknown): string[] => leaves(dict).map(({ path, value }) => `${path}:${typeof value}`).sort();
    expect(keys(ru)).toEqual(keys(en));
  });

  for (const [language, all] of Object.entries(LANGUAGES)) {
    test(`${language}: nothing is empty, nothing is left to fill in`, () => {
      for (const { path, text } of all) {
        expect(text.trim(), path).not.toBe('');
        expect(text, path).not.toMatch(/#|undefined|null|NaN|\[object/);
      }
    });

    test(`${language}: no exclamation marks, no jargon`, () => {
      const jargon = /\b(sync|backend|server|fallback|transport|daemon|token|fingerprint|metadata|session|handshake|MLS|epoch|envelope)\b|сервер|токен|демон|синхрониз|сессия|метаданн/i;
      for (const { path, text } of all) {
        expect(text, path).not.toContain('!');
        expect(text, path).not.toMatch(jargon);
      }
    });
  }

  test('every fault is said in its own words, and in Russian in Cyrillic', () => {
    expect(new Set(Object.values(en.faults)).size).toBe(Object.keys(en.faults).length);
    expect(new Set(Object.values(ru.faults)).size).toBe(Object.keys(ru.faults).length);
    for (const text of Object.values(ru.faults)) expect(text).toMatch(/[а-яё]/i);
  });

  test('the sentences that the design fixes', () => {
    expect(en.acceptance.saved.body).toBe('Saved. We will finish as soon as there is any connection.');
    expect(ru.acceptance.saved.body).toBe('Сохранили. Закончим, как только появится связь.');
    expect(en.acceptance.failed.used.body).toBe('Someone already used this invitation. If it was not you, ask for a new one in person.');
    expect(en.connection.noRelay.sub).toBe('You can already write. It goes out when someone lets you in.');
    expect(en.connection.clock(3)).toBe('Your clock is 3 days off; messages still arrive.');
    expect(en.chat.silent('Lena', 'Tuesday')).toBe('\u2068Lena\u2069’s device has not been seen since Tuesday; your message is kept.');
    expect(en.invite.pasteHint).toBe('They paste it into Stonechat.');
  });

  test('Russian plurals: 1, 2, 5, 11, 21', () => {
    expect([1, 2, 5, 11, 21].map((count) => ru.connection.queued(count))).toEqual(['1 сообщение ждёт', '2 сообщения ждут', '5 сообщений ждут', '11 сообщений ждут', '21 сообщение ждёт']);
    expect([1, 3, 5].map((days) => ru.connection.clock(days).match(/\d+ \S+(?=;)/)?.[0])).toEqual(['1 день', '3 дня', '5 дней']);
  });

  test('English plurals', () => {
    expect([1, 2].map((count) => en.chats.requests(count))).toEqual(['1 person wants in', '2 people want in']);
    expect(plural('en')(1234, { other: '# messages' })).toBe('1,234 messages');
  });

  test('a name cannot turn the sentence around it', () => {
    expect(isolate('\u202eevil')).toBe('\u2068evil\u2069');
    expect(isolate('out\u2069\u202eside')).toBe('\u2068outside\u2069');
    for (const dict of [en, ru]) expect(dict.chat.waiting('\u202eevil')).toContain('\u2068evil\u2069');
  });
});
