//! A page around the in-memory backend, served under the daemon's strict policy. Every test also asserts that the
//! policy was never violated, nothing was logged as an error, and nothing left loopback.

import { test as base, expect, type Page } from '@playwright/test';
import { AxeBuilder } from '@axe-core/playwright';
import { fileURLToPath } from 'node:url';
import type { MockHandle } from '../../../src/core/transports/mock/index';
import { serve } from '../serve.mjs';

const BUILD = fileURLToPath(new URL('../../../test-results/mock', import.meta.url));
/** A Sunday evening: the moment of the pictures. */
export const NOW = new Date(2026, 10, 22, 20, 46);

export interface Open {
  scenario?: string;
  lang?: 'en' | 'ru';
  theme?: 'light' | 'dark';
  hash?: string;
  [option: string]: string | number | undefined;
}

export const PHONE = { viewport: { width: 360, height: 720 }, hasTouch: true, isMobile: true };
export const DESKTOP = { viewport: { width: 1180, height: 860 } };

export const test = base.extend<{ open: (how?: Open) => Promise<void>; mock: <T>(steer: (mock: MockHandle) => T) => Promise<T> }, { site: string }>({
  site: [
    async ({}, use) => {
      const { url, stop } = await serve(BUILD);
      await use(url);
      stop();
    },
    { scope: 'worker' },
  ],

  open: async ({ page, site }, use) => {
    const trouble: string[] = [];
    page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
    page.on('pageerror', (error) => trouble.push(String(error)));
    page.on('request', (request) => {
      const { hostname, protocol } = new URL(request.url());
      if (!/^(127\.0\.0\.1|localhost|)$/.test(hostname)) trouble.push(`left loopback: ${protocol}//${hostname}`);
    });
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
    });
    await use(async ({ hash = '', ...options } = {}) => {
      await page.clock.setSystemTime(NOW);
      const query = new URLSearchParams(Object.entries({ lang: 'en', ...options }).map(([key, value]) => [key, String(value)]));
      await page.goto(`${site}?${query}${hash}`);
      await page.locator('.app, .screen .card:not(.waiting)').first().waitFor();
      await page.evaluate(() => document.fonts.ready);
    });
    expect(trouble).toEqual([]);
  },

  mock: async ({ page }, use) => {
    await use((steer) => page.evaluate(`(${steer.toString()})(window.mock)`) as Promise<never>);
  },
});

export { expect };

/** What `read` answers in the page once thirty frames in a row have not changed it: for what must not go on changing. */
export function settled<T>(page: Page, read: () => T): Promise<T> {
  return page.evaluate(`(async () => {
    const read = ${read.toString()};
    let last = read();
    for (let calm = 0; calm < 30; calm += 1) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      const next = read();
      if (next !== last) calm = 0;
      last = next;
    }
    return last;
  })()`);
}

/** Where the messages are scrolled to, once they stand still. */
export const settledScroll = (page: Page): Promise<number> => settled(page, () => document.querySelector('[role=feed]')!.scrollTop);

/** Opens the search and waits until one can type: keys that come earlier go elsewhere. */
export async function openSearch(page: Page): Promise<void> {
  await page.keyboard.press('Control+KeyK');
  await expect(page.getByRole('combobox')).toBeFocused();
}

/** No finding of axe-core on what is on the page now (which has no frames: "legacy" spares axe a second page), and nothing sticks out sideways. */
export async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).setLegacyMode().options({ resultTypes: ['violations'] }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary ?? ''}`).join(' | ')}`)).toEqual([]);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(overflow, 'sideways overflow').toBeLessThanOrEqual(0);
}

/** The same, English in the light theme and Russian in the dark one, for a page that follows the system's theme. */
export async function expectAccessibleIn(page: Page, lang: 'en' | 'ru'): Promise<void> {
  const colorScheme = lang === 'en' ? 'light' : 'dark';
  await page.emulateMedia({ reducedMotion: 'reduce', colorScheme });
  await expect(page.locator('html')).toHaveAttribute('data-theme', colorScheme);
  await expectAccessible(page);
}

/** Opens, by keyboard, what can be done with the newest message, or the newest that says so: rows take the focus once the list stands. */
export async function openNewest(page: Page, hasText?: string): Promise<void> {
  const newest = page.locator('.scroller.placed article', { hasText }).last();
  await newest.waitFor();
  await settledScroll(page);
  await newest.press('Enter');
}
