//! Made-up api values for tests.

import type { Chat, Message, Messages } from '../../src/core/gen/api';

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
