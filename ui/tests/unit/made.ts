//! Made-up api values for tests.

import type { Chat, Message, Messages, PublicInvite, Relay } from '../../src/core/gen/api';

export function message(position: number, change: Partial<Message> = {}): Message {
  return { id: `m${position}`, chat: 1, position, from: 'lena', fromName: 'Lena', mine: false, kind: 'text', text: `text ${position}`, sentAt: 1_700_000_000_000 + position * 1000, state: 'read', clientId: null, late: false, missingBefore: 0, askedFor: false, reply: null, editedAt: null, reactions: [], mayDelete: false, timerS: null, vanishesAt: null, media: null, format: [], typed: null, mentionsMe: false, pinned: false, poll: null, forwarded: null, card: null, place: null, introduction: null, ...change };
}

export function page(from: number, to: number, total: number): Messages {
  const messages = Array.from({ length: to - from }, (_, at) => message(from + at));
  return { messages, moreBefore: from > 1, moreAfter: to <= total, total, index: from - 1 };
}

export function chat(id: number, change: Partial<Chat> = {}): Chat {
  return { id, contact: `contact${id}`, own: false, name: `Name ${id}`, verified: false, last: null, unread: 0, mentions: 0, pins: 0, firstUnread: null, group: null, waiting: false, comingBack: false, draft: null, activeAt: id, heardAt: null, timerS: null, alarms: [], isNew: false, ...change };
}

export function relay(id: number, change: Partial<Relay> = {}): Relay {
  return { id: id.toString(16).padStart(32, '0'), address: `198.51.100.${id}:4180`, own: true, connected: true, through: false, withholds: false, private: false, answeredAt: 1, fromPublic: false, dealtTo: [], ways: [], tried: [], ...change };
}

/** A route's text as whoever runs a relay gives it (RTE-1). */
export async function route(relayId: number, address: string, { lan = false, secret = false, version = 1 }: { lan?: boolean | number; secret?: boolean; version?: number } = {}): Promise<string> {
  const id = Array.from({ length: 16 }, (_, at) => (at === 15 ? relayId : 0));
  const body = [version, Number(lan), Number(secret), ...(secret ? Array<number>(16).fill(7) : []), ...id, ...new TextEncoder().encode(address)];
  const said = Uint8Array.from([...new TextEncoder().encode('stonechat/route'), ...body]);
  const check = new Uint8Array(await crypto.subtle.digest('SHA-256', said)).subarray(0, 4);
  return `stone:r${btoa(String.fromCharCode(...body, ...check)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`;
}

/** So many routes of relays of the internet. */
export function routes(count: number): Promise<string[]> {
  return Promise.all(Array.from({ length: count }, (_, at) => route(100 + at, `https://relay${at + 1}.example:443`, { secret: true })));
}

export function publicInvite(change: Partial<PublicInvite> = {}): PublicInvite {
  return { id: 'p', link: 'http://198.51.100.1:4180/x#y', code: 'stone:ixy', reach: 'internet', state: 'open', createdAt: 0, expiresAt: 3 * 86_400_000, days: [['a:1', 'b:1'], ['c:1', 'd:1'], ['a:1', 'c:1']], ...change };
}
