import { beforeEach, describe, expect, test } from 'vitest';
import type { Status } from '../../src/core/gen/api';
import { forget, inOrder, reduce, unfinished, type Lists } from '../../src/state/reduce';
import { chat, message, publicInvite } from './made';

const status: Status = { version: '1', me: { id: 'me', name: 'Ana' }, locked: false, hasPassphrase: false, connection: 'connecting', relays: [], clockOffsetMs: 0, queued: 0, restored: false, restoring: null, revoked: false, home: true, unread: 0, requests: 0 };
const acceptance = { id: 'a', state: 'saved' as const, name: null, chat: null, group: null, createdAt: 1 };
let lists: Lists;

beforeEach(() => {
  lists = { status, chats: new Map([[1, chat(1)]]), contacts: new Map(), requests: new Map(), invites: new Map(), publics: new Map(), acceptances: new Map(), diskFull: false };
});

describe('what events change', () => {
  test('a changed chat replaces the old one, a removed one goes', () => {
    reduce(lists, { kind: 'chatChanged', chat: chat(1, { unread: 3 }) });
    expect(lists.chats.get(1)?.unread).toBe(3);
    reduce(lists, { kind: 'chatRemoved', chat: 1 });
    expect(lists.chats.size).toBe(0);
  });

  test('a renamed or verified contact shows in its chat', () => {
    reduce(lists, { kind: 'contactChanged', contact: { id: 'contact1', name: 'Lena', ownName: 'Elena', verified: true, chat: 1, heardAt: 7, blocked: false, introduced: [] } });
    expect(lists.chats.get(1)).toMatchObject({ name: 'Lena', verified: true, heardAt: 7 });
  });

  test('a state that moves on shows in the list when it is the last message', () => {
    lists.chats.set(1, chat(1, { last: message(5, { mine: true, state: 'queued' }) }));
    expect(reduce(lists, { kind: 'messageState', chat: 1, id: 'm5', state: 'carried' })).toBe('status');
    expect(lists.chats.get(1)?.last?.state).toBe('carried');
    reduce(lists, { kind: 'messageState', chat: 1, id: 'm4', state: 'read' });
    expect(lists.chats.get(1)?.last?.state).toBe('carried');
  });

  test('requests come and go', () => {
    reduce(lists, { kind: 'requestAdded', request: { id: 'r', invite: 'i', name: 'Bo', account: 'b', group: null, inPerson: false, receivedAt: 1, firstMessages: [] } });
    expect(lists.requests.size).toBe(1);
    reduce(lists, { kind: 'requestRemoved', id: 'r' });
    expect(lists.requests.size).toBe(0);
  });

  test('a public invitation becomes what is said of it', () => {
    reduce(lists, { kind: 'publicChanged', invite: publicInvite({ state: 'preparing' }) });
    reduce(lists, { kind: 'publicChanged', invite: publicInvite({ state: 'open' }) });
    expect([...lists.publics.values()].map(({ state }) => state)).toEqual(['open']);
  });

  test('connection and clock are patched into the status', () => {
    expect(reduce(lists, { kind: 'connectionChanged', connection: 'connected' })).toBe('status');
    reduce(lists, { kind: 'clockOff', offsetMs: 99 });
    expect(lists.status).toMatchObject({ connection: 'connected', clockOffsetMs: 99 });
  });

  test('a full disk is told until something is stored again', () => {
    reduce(lists, { kind: 'diskFull' });
    expect(lists.diskFull).toBe(true);
    reduce(lists, { kind: 'messageAdded', message: message(1) });
    expect(lists.diskFull).toBe(false);
  });

  test.each([['ingested', 'everything'], ['unlocked', 'everything'], ['locked', 'locked'], ['wiped', 'wiped'], ['statusChanged', 'status']] as const)('%s asks for %s', (kind, again) => {
    expect(reduce(lists, kind === 'ingested' ? { kind, messages: 10_000 } : { kind })).toBe(again);
  });

  test('locked: nothing stays behind', () => {
    lists.publics.set('p', publicInvite());
    forget(lists);
    expect(lists.chats.size + lists.contacts.size + lists.requests.size + lists.invites.size + lists.publics.size + lists.acceptances.size).toBe(0);
  });
});

describe('order and rows of the list', () => {
  test('newest activity first', () => {
    expect(inOrder([chat(1, { activeAt: 5 }), chat(2, { activeAt: 9 }), chat(3, { activeAt: 5 })]).map(({ id }) => id)).toEqual([2, 3, 1]);
  });

  test('an acceptance has a row until it is a chat, and again when it stands still', () => {
    const shown = (change: object): boolean => unfinished([{ ...acceptance, ...change }]).length === 1;
    expect(shown({})).toBe(true);
    expect(shown({ state: 'waiting', chat: 1 })).toBe(false);
    expect(shown({ state: 'wordsWrong', chat: 1 })).toBe(true);
    expect(shown({ state: 'accepted', chat: 1 })).toBe(false);
    expect(shown({ state: 'dealt' })).toBe(true);
  });
});
