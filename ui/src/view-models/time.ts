//! Times and days in words, in the reader's language.

const DAY_MS = 86_400_000;

/** Days between two times by the calendar of this device (0 = the same day). */
export function daysApart(then: number, now: number): number {
  return Math.round((dayOf(now) - dayOf(then)) / DAY_MS);
}

/** Midnight that began the day of a time, by this device's calendar. */
export function dayOf(time: number): number {
  return new Date(time).setHours(0, 0, 0, 0);
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** Making a format is dear, and every row asks for one. */
function format(locale: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = locale + JSON.stringify(options);
  let made = formats.get(key);
  if (made === undefined) formats.set(key, (made = new Intl.DateTimeFormat(locale, options)));
  return made;
}

/** "20:41" */
export function clock(time: number, locale: string): string {
  return format(locale, { hour: '2-digit', minute: '2-digit', hour12: false }).format(time);
}

/** Day separator: "Today", "Yesterday", "Friday", "4 November", "4 November 2025". */
export function dayLabel(time: number, now: number, locale: string, words: { today: string; yesterday: string }): string {
  const days = daysApart(time, now);
  if (days === 0) return words.today;
  if (days === 1) return words.yesterday;
  const shape: Intl.DateTimeFormatOptions =
    days > 1 && days < 7
      ? { weekday: 'long' }
      : { day: 'numeric', month: 'long', ...(new Date(time).getFullYear() === new Date(now).getFullYear() ? {} : { year: 'numeric' }) };
  return upperFirst(format(dated(locale), shape).format(time), locale);
}

/** Short time for a list: "20:41", "Fri", "4 Nov", "11/2025". */
export function listTime(time: number, now: number, locale: string): string {
  const days = daysApart(time, now);
  if (days <= 0) return clock(time, locale);
  if (days < 7) return upperFirst(format(locale, { weekday: 'short' }).format(time), locale);
  return format(dated(locale), days < 300 ? { day: 'numeric', month: 'short' } : { month: '2-digit', year: 'numeric' }).format(time);
}

/** Day and time: "22 November, 20:41". */
export function dayAndTime(time: number, locale: string): string {
  return format(dated(locale), { day: 'numeric', month: 'long', hour: '2-digit', minute: '2-digit', hour12: false }).format(time);
}

/** A day alone: "22 November". */
export function dayAlone(time: number, locale: string): string {
  return format(dated(locale), { day: 'numeric', month: 'long' }).format(time);
}

/** A day inside a sentence: "Tuesday", "4 November". */
export function dayInSentence(time: number, now: number, locale: string): string {
  const shape: Intl.DateTimeFormatOptions = daysApart(time, now) < 7 ? { weekday: 'long' } : { day: 'numeric', month: 'long' };
  return format(dated(locale), shape).format(time);
}

/** English dates with the day first, as the rest of the design has them. */
function dated(locale: string): string {
  return locale === 'en' ? 'en-GB' : locale;
}

function upperFirst(text: string, locale: string): string {
  return text.charAt(0).toLocaleUpperCase(locale) + text.slice(1);
}
