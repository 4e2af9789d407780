//! The words on the screen, in the language chosen.
//!
//! In: the language (setting, else the browser's). Out: `t`, read inside templates, follows a change at once.

import { en, type Dict } from './en';
import { ru } from './ru';

export const LOCALES = ['en', 'ru'] as const;
export type Locale = (typeof LOCALES)[number];

/** Names of the languages in themselves. */
export const LOCALE_NAMES: Record<Locale, string> = { en: 'English', ru: 'Русский' };

const dicts: Record<Locale, Dict> = { en, ru };
const REMEMBERED = 'stonechat.language';

/** The first language that the browser asks for and that exists here. */
export function browserLocale(wanted: readonly string[] = navigator.languages): Locale {
  for (const tag of wanted) {
    const short = tag.slice(0, 2).toLowerCase();
    const found = LOCALES.find((locale) => locale === short);
    if (found !== undefined) return found;
  }
  return 'en';
}

function known(value: string | null): Locale | null {
  return LOCALES.find((locale) => locale === value) ?? null;
}

class Language {
  /** The choice; null follows the browser. Kept beside the profile too, for the first and the lock screen. */
  chosen = $state<Locale | null>(typeof localStorage === 'undefined' ? null : known(localStorage.getItem(REMEMBERED)));
  readonly locale: Locale = $derived(this.chosen ?? browserLocale());

  choose(value: string | null): void {
    this.chosen = known(value);
    if (this.chosen === null) localStorage.removeItem(REMEMBERED);
    else localStorage.setItem(REMEMBERED, this.chosen);
  }
}

export const language = new Language();

/** The dictionary in use: `t.chat.send`. */
export const t: Dict = new Proxy({} as Dict, {
  get: (_, section: string) => dicts[language.locale][section as keyof Dict],
});
