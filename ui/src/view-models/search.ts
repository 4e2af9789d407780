//! Chats whose name matches what is typed: beginnings of words first, case and accents aside.

import type { Chat } from '../core/gen/api';

const CHATS_MAX = 8;

function plain(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLocaleLowerCase();
}

/** The best matches, in the order of the list within one rank. Nothing typed: the newest chats. */
export function matchingChats(chats: readonly Chat[], words: string): Chat[] {
  const wanted = plain(words.trim());
  if (wanted === '') return chats.slice(0, CHATS_MAX);
  const ranked = chats
    .map((chat) => ({ chat, rank: rank(plain(chat.name), wanted) }))
    .filter((one): one is { chat: Chat; rank: number } => one.rank !== null)
    .sort((a, b) => a.rank - b.rank);
  return ranked.slice(0, CHATS_MAX).map(({ chat }) => chat);
}

function rank(name: string, wanted: string): number | null {
  if (name.startsWith(wanted)) return 0;
  if (name.split(/[\s-]+/).some((word) => word.startsWith(wanted))) return 1;
  return name.includes(wanted) ? 2 : null;
}
