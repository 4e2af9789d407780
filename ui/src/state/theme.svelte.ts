//! Light or dark, as chosen or as the system says.

export type Theme = 'light' | 'dark';

const REMEMBERED = 'stonechat.theme';

function known(value: string | null): Theme | null {
  return value === 'light' || value === 'dark' ? value : null;
}

class ThemeChoice {
  /** The choice; null follows the system. Kept beside the profile too, so that a start does not flash. */
  chosen = $state<Theme | null>(typeof localStorage === 'undefined' ? null : known(localStorage.getItem(REMEMBERED)));
  #systemDark = $state(false);

  constructor() {
    if (typeof matchMedia === 'undefined') return;
    const dark = matchMedia('(prefers-color-scheme: dark)');
    this.#systemDark = dark.matches;
    dark.addEventListener('change', () => {
      this.#systemDark = dark.matches;
      this.show();
    });
  }

  choose(value: string | null): void {
    this.chosen = known(value);
    if (this.chosen === null) localStorage.removeItem(REMEMBERED);
    else localStorage.setItem(REMEMBERED, this.chosen);
    this.show();
  }

  /** Puts the theme on the document. */
  show(): void {
    document.documentElement.dataset.theme = this.chosen ?? (this.#systemDark ? 'dark' : 'light');
  }
}

export const theme = new ThemeChoice();
