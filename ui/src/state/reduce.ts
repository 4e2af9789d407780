//! What each event changes in the lists. Plain functions over plain maps, so that tests need no page.
//!
//! In: the lists and one event. Out: the lists changed in place, and what has to be read again.
//! Open chats have their own windows of messages: `timeline.svelte.ts`.

import type { Acceptance, Chat, Connection, Contact, Event, Invite, PublicInvite, Request, Status } from '../core/gen/api';

/** Everything the lists hold. `Map` in tests, `SvelteMap` in the page. */
export interface Lists {
  status: Status | null;
  chats: Map<number, Chat>;
  contacts: Map<string, Contact>;
  requests: Map<string, Request>;
  invites: Map<string, Invite>;
  publics: Map<string, PublicInvite>;
  acceptances: Map<string, Acceptance>;
  diskFull: boolean;
}

/** What to read again after an event. */
export type Again = 'nothing' | 'status' | 'everything' | 'locked' | 'wiped';

/** Applies one event. */
export function reduce(lists: Lists, event: Event): Again {
  switch (event.kind) {
    case 'chatChanged':
      lists.chats.set(event.chat.id, event.chat);
      return 'nothing';
    case 'chatRemoved':
      lists.chats.delete(event.chat);
      return 'nothing';
    case 'contactChanged':
      contactChanged(lists, event.contact);
      return 'nothing';
    case 'requestAdded':
      lists.requests.set(event.request.id, event.request);
      return 'nothing';
    case 'requestRemoved':
      lists.requests.delete(event.id);
      return 'nothing';
    case 'inviteChanged':
      lists.invites.set(event.invite.id, event.invite);
      return 'nothing';
    case 'acceptanceChanged':
      lists.acceptances.set(event.acceptance.id, event.acceptance);
      return 'nothing';
    case 'publicChanged':
      lists.publics.set(event.invite.id, event.invite);
      return 'nothing';
    case 'messageState':
      messageState(lists, event);
      return 'status';
    case 'messageAdded':
      lists.diskFull = false;
      return event.message.mine ? 'status' : 'nothing';
    case 'typing':
      return 'nothing';
    case 'messageChanged':
      return 'nothing'; // its chat, where it is the last one, comes as an event of its own
    case 'messageRemoved':
      return 'status';
    case 'connectionChanged':
      setConnection(lists, event.connection);
      return 'status';
    case 'clockOff':
      if (lists.status !== null) lists.status = { ...lists.status, clockOffsetMs: event.offsetMs };
      return 'nothing';
    case 'diskFull':
      lists.diskFull = true;
      return 'nothing';
    case 'statusChanged':
      return 'status';
    case 'ingested':
    case 'unlocked':
      return 'everything';
    case 'locked':
      return 'locked';
    case 'wiped':
      return 'wiped';
  }
}

function contactChanged(lists: Lists, contact: Contact): void {
  if (contact.blocked) {
    lists.contacts.delete(contact.id);
    return;
  }
  lists.contacts.set(contact.id, contact);
  if (contact.chat === null) return;
  const chat = lists.chats.get(contact.chat);
  if (chat === undefined) return;
  lists.chats.set(chat.id, { ...chat, name: contact.name, verified: contact.verified, heardAt: contact.heardAt });
}

function messageState(lists: Lists, event: Extract<Event, { kind: 'messageState' }>): void {
  const chat = lists.chats.get(event.chat);
  if (chat?.last?.id !== event.id) return;
  lists.chats.set(chat.id, { ...chat, last: { ...chat.last, state: event.state } });
}

function setConnection(lists: Lists, connection: Connection): void {
  if (lists.status !== null) lists.status = { ...lists.status, connection };
}

/** Empties the lists (locked, wiped). */
export function forget(lists: Lists): void {
  for (const map of [lists.chats, lists.contacts, lists.requests, lists.invites, lists.publics, lists.acceptances]) map.clear();
}

/** Chats in the order of the list: newest activity first. */
export function inOrder(chats: Iterable<Chat>): Chat[] {
  return [...chats].sort((a, b) => b.activeAt - a.activeAt || b.id - a.id);
}

/** Acceptances that are not a chat yet, or stand still: they have a row of their own. So has one that gave relays, until it was read. */
export function unfinished(acceptances: Iterable<Acceptance>): Acceptance[] {
  return [...acceptances]
    .filter(({ state, chat }) => state !== 'accepted' && !(chat !== null && (state === 'waiting' || state === 'claimed')))
    .sort((a, b) => b.createdAt - a.createdAt);
}
