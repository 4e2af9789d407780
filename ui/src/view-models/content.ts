//! Words of what stands beside a message: what it answers, the emojis on it.
//!
//! In: messages and the words of a language. Out: short texts for the eye and for a screen reader.

import type { Choice, ForwardedFrom, MediaKind, Message, Quote, Reaction } from '../core/gen/api';
import type { Dict } from '../i18n/en';
import { isolate } from '../i18n/plural';
import { besideText, introductionWords } from './introduce';
import { previewText, spokenText } from './marks';

/** The emojis offered first. */
export const QUICK = ['👍', '❤️', '😂', '😮', '😢', '🙏'] as const;

/** What a quote shows: whose it was and how it begins. `name` is empty where there is nobody to name. */
export function quoteWords({ found }: Quote, t: Dict): { name: string; text: string } {
  if (found === null) return { name: '', text: t.chat.quoteMissing };
  const name = found.mine ? t.chat.you : found.fromName;
  if (found.kind === 'timer') return { name, text: t.timer.title };
  if (found.kind === 'deleted') return { name, text: t.chat.deleted };
  if (found.kind === 'introduction') return { name, text: t.introduce.title };
  return { name, text: found.kind === 'unknown' ? t.chat.newer : mediaText(found.media, found.text, t) };
}

/** "👍 2: Lena, Bo", and "and others" where not all are named. */
export function reactionWords({ emoji, count, names }: Reaction, t: Dict): string {
  const more = count > names.length ? [t.chat.others] : [];
  return `${emoji} ${count}: ${[...names, ...more].join(', ')}`;
}

/** "at seven, 2 votes: Lena, Bo". */
export function choiceWords({ text, count, names }: Choice, t: Dict): string {
  const more = count > names.length ? [t.chat.others] : [];
  return names.length === 0 ? `${text}, ${t.polls.votes(count)}` : `${text}, ${t.polls.votes(count)}: ${[...names, ...more].join(', ')}`;
}

/** That a message was written elsewhere, and by whom if that is said. */
export function forwardedWords({ name }: ForwardedFrom, t: Dict): string {
  return name === null ? t.forward.mark : t.forward.by(name);
}

/** A text with the name of what is heard or seen before it. */
export function mediaText(kind: MediaKind | null, text: string, t: Dict): string {
  if (kind === null) return text;
  const name = kind === 'photo' ? t.media.photo : t.media.voiceNote;
  return text === '' ? name : `${name}: ${text}`;
}

/** A message where there is room for a line: spoilers blotted out, what stands beside the text named. */
export function shortText(message: Message, t: Dict): string {
  if (message.kind === 'introduction') return introductionWords(message, t);
  return mediaText(message.media?.kind ?? null, besideText(message, previewText(message), t), t);
}

/** Milliseconds as 1:05. */
export function durationWords(ms: number, locale: string): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const two = new Intl.NumberFormat(locale, { minimumIntegerDigits: 2 });
  return `${new Intl.NumberFormat(locale).format(Math.floor(seconds / 60))}:${two.format(seconds % 60)}`;
}

const UNITS = [
  ['week', 604_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const;

/** A timer as people say it: "1 day", in the largest unit that it is whole in. */
export function timerWords(seconds: number, locale: string): string {
  const [unit, size] = UNITS.find(([, size]) => seconds % size === 0) ?? ['second', 1];
  return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / size);
}

/** Who has said how long messages stay. */
export function timerLine({ mine, fromName, timerS }: Message, t: Dict, locale: string): string {
  const name = mine ? t.chat.you : isolate(fromName);
  return timerS === null ? t.timer.off(name) : t.timer.on(name, timerWords(timerS, locale));
}

/** What stands where a message has no text of its own. */
export function textOf(message: Message, began: string, t: Dict, locale: string): string {
  switch (message.kind) {
    case 'began':
      return began;
    case 'newDevice':
      return message.mine ? t.chat.newDeviceMine : t.chat.newDevice(message.fromName);
    case 'unknown':
      return t.chat.newer;
    case 'deleted':
      return t.chat.deleted;
    case 'text':
      return mediaText(message.media?.kind ?? null, besideText(message, spokenText(message, t), t), t);
    case 'timer':
      return timerLine(message, t, locale);
    case 'introduction':
      return introductionWords(message, t);
  }
}
