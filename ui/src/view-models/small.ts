//! Small pure answers the components need.

import type { Chat, Message, Status } from '../core/gen/api';
import type { Dict } from '../i18n/en';

/** Largest text in bytes of UTF-8 (api: `Send`). */
export const TEXT_BYTES_MAX = 16_384;

/** Bytes of a text as UTF-8, after trimming. */
export function textBytes(text: string): number {
  return new TextEncoder().encode(text.trim()).length;
}

/** Kilobytes in words, one digit after the point: "17.2". Rounded up, so that too long never reads as fitting. */
export function kilobytes(bytes: number, locale: string): string {
  return new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(Math.ceil(bytes / 102.4) / 10);
}

/** A chat as it is called on screen: the one with oneself has no name of its own. */
export function named(chat: Chat, t: Dict): Chat {
  return chat.own ? { ...chat, name: t.saved.title } : chat;
}

const AVATARS = 8;

/** Colour number of a contact, the same on every start. */
export function colourOf(id: string): number {
  let sum = 0;
  for (const unit of id) sum = (sum * 31 + (unit.codePointAt(0) ?? 0)) >>> 0;
  return sum % AVATARS;
}

/** First letter of a name as one whole grapheme, upper case. */
export function initialOf(name: string): string {
  const visible = name.replace(/[\p{Cc}\p{Cf}]/gu, (mark) => (mark === '\u200d' ? mark : '')).trim();
  const first = new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(visible)[Symbol.iterator]().next();
  return first.done === true ? '?' : [...first.value.segment.toLocaleUpperCase()].slice(0, 8).join('');
}

const SILENT_MS = 24 * 3600_000;

/** The contact was not heard of for a day while a message of mine waits for it: since when; else null. */
export function silentSince(chat: Chat, now: number): number | null {
  const { last, heardAt } = chat;
  if (last === null || !last.mine || (last.state !== 'carried' && last.state !== 'queued')) return null;
  if (chat.waiting || heardAt === null || now - heardAt < SILENT_MS || now - last.sentAt < SILENT_MS / 24) return null;
  return heardAt;
}

/** Whole days that the clock is off; 0: right. */
export function clockDays(status: Status | null): number {
  return status === null ? 0 : Math.round(Math.abs(status.clockOffsetMs) / 86_400_000);
}

/** Which way a connection line speaks. */
export type Line = 'connected' | 'connecting' | 'offline' | 'nearby' | 'noRelay' | 'detached';

/** The line for a status; without the daemon nothing else matters. */
export function lineOf(status: Status | null, attached: boolean): Line {
  if (!attached) return 'detached';
  return status?.connection ?? 'connecting';
}

/** What is plainly not an invitation, told before the next screen. Core decides about everything else. */
export function plainlyWrong(link: string): 'brokenLink' | 'routeNotInvite' | null {
  const text = link.trim();
  if (/^stone:r/i.test(text)) return 'routeNotInvite';
  return /^(stone:i\S{8,}|https?:\/\/\S+#\S+)$/i.test(text) ? null : 'brokenLink';
}

/** Words in a field of recovery words. */
export function wordCount(text: string): number {
  return text.trim() === '' ? 0 : text.trim().split(/\s+/).length;
}

/** Position up to which the reader has seen the chat, if that is news. */
export function readUpTo(messages: readonly Message[], lastVisible: number, unreadFrom: number | null): number | null {
  if (unreadFrom === null) return null;
  const seen = messages[lastVisible];
  return seen === undefined || seen.position < unreadFrom ? null : seen.position;
}
