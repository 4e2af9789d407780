//! Times and days in words, in the reader's language.

const DAY_MS = 86_400_000;

/** Days between two times by the calendar of this device (0 = the same day). */
export function daysApart(then: number, now: number): number {
  const midnight = (time: number): number => new Date(time).setHours(0, 0, 0, 0);
  return Math.round((midnight(now) - midnight(then)) / DAY_MS);
}

/** "20:41" */
export function clock(time: number, locale: string): string {
  return new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', hour12: false }).format(time);
}

/** Day separator: "Today", "Yesterday", "Friday", "4 November", "4 November 2025". */
export function dayLabel(time: number, now: number, locale: string, words: { today: string; yesterday: string }): string {
  const days = daysApart(time, now);
  if (days === 0) return words.today;
  if (days === 1) return words.yesterday;
  const format: Intl.DateTimeFormatOptions =
    days > 1 && days < 7
      ? { weekday: 'long' }
      : { day: 'numeric', month: 'long', ...(new Date(time).getFullYear() === new Date(now).getFullYear() ? {} : { year: 'numeric' }) };
  return upperFirst(new Intl.DateTimeFormat(dated(locale), format).format(time), locale);
}

/** Short time for a list: "20:41", "Fri", "4 Nov", "11/2025". */
export function listTime(time: number, now: number, locale: string): string {
  const days = daysApart(time, now);
  if (days <= 0) return clock(time, locale);
  if (days < 7) return upperFirst(new Intl.DateTimeFormat(locale, { weekday: 'short' }).format(time), locale);
  return new Intl.DateTimeFormat(dated(locale), days < 300 ? { day: 'numeric', month: 'short' } : { month: '2-digit', year: 'numeric' }).format(time);
}

/** Day and time: "22 November, 20:41". */
export function dayAndTime(time: number, locale: string): string {
  return new Intl.DateTimeFormat(dated(locale), { day: 'numeric', month: 'long', hour: '2-digit', minute: '2-digit', hour12: false }).format(time);
}

/** A day inside a sentence: "Tuesday", "4 November". */
export function dayInSentence(time: number, now: number, locale: string): string {
  const format: Intl.DateTimeFormatOptions = daysApart(time, now) < 7 ? { weekday: 'long' } : { day: 'numeric', month: 'long' };
  return new Intl.DateTimeFormat(dated(locale), format).format(time);
}

/** English dates with the day first, as the rest of the design has them. */
function dated(locale: string): string {
  return locale === 'en' ? 'en-GB' : locale;
}

function upperFirst(text: string, locale: string): string {
  return text.charAt(0).toLocaleUpperCase(locale) + text.slice(1);
}
