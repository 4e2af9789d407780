//! Words of what stands beside a message: what it answers, the emojis on it.
//!
//! In: messages and the words of a language. Out: short texts for the eye and for a screen reader.

import type { Message, Quote, Reaction } from '../core/gen/api';
import type { Dict } from '../i18n/en';

/** The emojis offered first. */
export const QUICK = ['👍', '❤️', '😂', '😮', '😢', '🙏'] as const;

/** What a quote shows: whose it was and how it begins. `name` is empty where there is nobody to name. */
export function quoteWords({ found }: Quote, t: Dict): { name: string; text: string } {
  if (found === null) return { name: '', text: t.chat.quoteMissing };
  const name = found.mine ? t.chat.you : found.fromName;
  if (found.kind === 'deleted') return { name, text: t.chat.deleted };
  return { name, text: found.kind === 'unknown' ? t.chat.newer : found.text };
}

/** "👍 2: Lena, Bo", and "and others" where not all are named. */
export function reactionWords({ emoji, count, names }: Reaction, t: Dict): string {
  const more = count > names.length ? [t.chat.others] : [];
  return `${emoji} ${count}: ${[...names, ...more].join(', ')}`;
}

/** What stands where a message has no text of its own. */
export function textOf(message: Message, began: string, t: Dict): string {
  switch (message.kind) {
    case 'began':
      return began;
    case 'newDevice':
      return t.chat.newDevice(message.fromName);
    case 'unknown':
      return t.chat.newer;
    case 'deleted':
      return t.chat.deleted;
    case 'text':
      return message.text;
  }
}
