//! Plural forms and safe insertion of names into sentences.
//!
//! In: a number and its forms in one language. Out: the sentence, with `#` replaced by the number.

/** Forms a language may need; `other` is the one that every language has. */
export type Forms = { other: string } & Partial<Record<Intl.LDMLPluralRule, string>>;

/** Makes the chooser for one language. */
export function plural(locale: string): (count: number, forms: Forms) => string {
  const rules = new Intl.PluralRules(locale);
  const digits = new Intl.NumberFormat(locale);
  return (count, forms) => (forms[rules.select(count)] ?? forms.other).replaceAll('#', digits.format(count));
}

/** Marks that turn the direction of what follows. */
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;

/** A name without marks that turn the text around it. */
export function straight(name: string): string {
  return name.replace(TURNING, '');
}

/** Wraps a name in direction isolates, so that it cannot turn the sentence around it. */
export function isolate(name: string): string {
  return `\u2068${straight(name)}\u2069`;
}
