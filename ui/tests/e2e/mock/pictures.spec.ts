//! The pictures in docs/pictures, which the README shows: each is what the page looks like. `npm run pictures` takes
//! them anew.

import type { Page } from '@playwright/test';
import { DESKTOP, expect, type Open, PHONE, test } from './page';

interface Picture {
  name: string;
  size: { viewport: { width: number; height: number } };
  open?: Open;
  steps?: (page: Page) => Promise<unknown>;
}

const middle = (height: number): Picture['size'] => ({ viewport: { width: 760, height } });
const make = (page: Page): Promise<void> => page.locator('button[type=submit]').click();

const PICTURES: readonly Picture[] = [
  { name: 'app', size: DESKTOP, open: { hash: '#/chat/1' }, steps: async (page) => { await page.evaluate(() => window.mock!.backend.call('send', { chat: 1, text: 'Выезжаем в семь' })); await page.locator('article[data-state=read]', { hasText: 'Выезжаем' }).waitFor(); } },
  { name: 'onboard', size: middle(560), open: { scenario: 'fresh' } },
  { name: 'invite', size: middle(900), open: { hash: '#/invite' }, steps: make },
  { name: 'requests', size: DESKTOP, open: { hash: '#/requests' }, steps: (page) => page.evaluate(() => { window.mock!.backend.addRequest('Bo', { firstMessages: ['It is me, with the red coat'] }); window.mock!.backend.addRequest('Ира', { inPerson: true }); }) },
  { name: 'phone-list', size: PHONE },
  { name: 'phone-chat', size: PHONE, open: { hash: '#/chat/1', lang: 'ru' } },
  { name: 'phone-invite', size: PHONE, open: { hash: '#/invite', lang: 'ru' } },
  { name: 'phone-onboard', size: PHONE, open: { scenario: 'fresh', lang: 'ru' } },
  { name: 'phone-code', size: PHONE, open: { hash: '#/invite', lang: 'ru' }, steps: make },
  { name: 'phone-offline', size: PHONE, open: { connection: 'offline', clockDays: 3, lang: 'ru' } },
  { name: 'phone-search', size: PHONE, steps: async (page) => { await page.locator('button.search').click(); await page.locator('dialog input').fill('дом'); await page.locator('mark').first().waitFor(); } },
];

for (const theme of ['light', 'dark'] as const) {
  for (const { name, size, open: how, steps } of PICTURES) {
    test.describe(() => {
      test.use({ ...size, colorScheme: theme, locale: how?.lang === 'ru' ? 'ru-RU' : 'en-GB', contextOptions: { reducedMotion: 'reduce' } });
      test(`picture ${name}-${theme}`, async ({ page, open }) => {
        await page.addInitScript(() => localStorage.setItem('stonechat.told.aaaaaaaa', 'words'));
        await open({ scenario: 'talk', theme, ...how });
        await steps?.(page);
        await page.mouse.move(0, 0);
        await page.evaluate(() => document.activeElement?.matches('textarea') && (document.activeElement as HTMLElement).blur());
        // Taken once two in a row are alike. A few edges may be drawn differently elsewhere; a badge has more pixels.
        await expect(page).toHaveScreenshot(`${name}-${theme}.png`, { maxDiffPixels: 100 });
      });
    });
  }
}
