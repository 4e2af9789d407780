import { describe, expect, test } from 'vitest';
import { Backend } from '../../src/core/transports/mock/backend';
import type { Message, Messages } from '../../src/core/gen/api';

function backend(): Backend {
  const made = new Backend();
  made.lively = false;
  made.me = { id: 'a'.repeat(64), name: 'Ana' };
  return made;
}

describe('the in-memory backend keeps the promises of the api', () => {
  test('sending twice with one client id sends once', () => {
    const made = backend();
    const chat = made.addContact('Lena');
    const first = made.call('send', { chat: chat.id, text: 'hi', clientId: 'c' }) as Message;
    const second = made.call('send', { chat: chat.id, text: 'hi', clientId: 'c' }) as Message;
    expect(second.id).toBe(first.id);
    expect(made.messages.get(chat.id)).toHaveLength(1);
  });

  test('pages: newest, before, after, around', () => {
    const made = backend();
    const chat = made.addContact('Lena');
    for (let n = 1; n <= 100; n += 1) made.place(chat, String(n));
    const ask = (where: object): Messages => made.call('messages', { chat: chat.id, limit: 10, ...where }) as Messages;
    const ends = ({ messages }: Messages): string[] => [messages[0]!.text, messages.at(-1)!.text];
    expect(ends(ask({}))).toEqual(['91', '100']);
    expect(ends(ask({ before: 91 }))).toEqual(['81', '90']);
    expect(ends(ask({ after: 10 }))).toEqual(['11', '20']);
    expect(ask({ around: 50 })).toMatchObject({ index: 44, moreBefore: true, moreAfter: true, total: 100 });
  });

  test('locked: everything but status, unlock and wipe is refused', () => {
    const made = backend();
    made.passphrase = 'x';
    made.locked = true;
    expect(() => made.call('chats', { limit: 1 })).toThrow(expect.objectContaining({ kind: 'locked' }));
    expect(made.call('status', undefined)).toMatchObject({ locked: true, me: null });
    expect(() => made.call('unlock', { passphrase: 'y' })).toThrow(expect.objectContaining({ kind: 'wrongPassphrase' }));
  });

  test('unknown methods and things are told apart', () => {
    const made = backend();
    expect(() => made.call('nothing', {})).toThrow(expect.objectContaining({ kind: 'noMethod' }));
    expect(() => made.call('approve', { id: 'x' })).toThrow(expect.objectContaining({ kind: 'notFound' }));
  });

  test('events grow by one', () => {
    const made = backend();
    const seen: number[] = [];
    made.hear((seq) => seen.push(seq));
    const chat = made.addContact('Lena');
    made.peerSays(chat.id, 'hi');
    expect(seen).toEqual([1, 2]);
  });
});
