//! Makes docs/pictures: screens in light and dark, the sizes of the design's own pictures.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from '@playwright/test';
import { serve } from '../tests/e2e/serve.mjs';

const OUT = fileURLToPath(new URL('../../docs/pictures/', import.meta.url));
const BUILD = fileURLToPath(new URL('../test-results/mock', import.meta.url));
const NOW = new Date(2026, 10, 22, 20, 46);

const wide = { viewport: { width: 1180, height: 860 } };
const middle = (height) => ({ viewport: { width: 760, height } });
const phone = { viewport: { width: 360, height: 720 }, hasTouch: true, isMobile: true };

const PICTURES = [
  { name: 'app', size: wide, hash: '#/chat/1', after: (page) => page.evaluate(() => { window.mock.backend.lively = false; window.mock.backend.call('send', { chat: 1, text: 'Выезжаем в семь' }); }) },
  { name: 'onboard', size: middle(560), scenario: 'fresh' },
  { name: 'invite', size: middle(900), hash: '#/invite', after: (page) => page.locator('button[type=submit]').click() },
  { name: 'requests', size: wide, hash: '#/requests', before: (page) => page.evaluate(() => { window.mock.backend.addRequest('Bo', { firstMessages: ['It is me, with the red coat'] }); window.mock.backend.addRequest('Ира', { inPerson: true }); }) },
  { name: 'phone-list', size: phone },
  { name: 'phone-chat', size: phone, hash: '#/chat/1', lang: 'ru' },
  { name: 'phone-invite', size: phone, hash: '#/invite', lang: 'ru' },
  { name: 'phone-onboard', size: phone, scenario: 'fresh', lang: 'ru' },
  { name: 'phone-code', size: phone, hash: '#/invite', lang: 'ru', after: (page) => page.locator('button[type=submit]').click() },
  { name: 'phone-offline', size: phone, more: { connection: 'offline', clockDays: '3' }, lang: 'ru' },
  { name: 'phone-search', size: phone, after: async (page) => { await page.locator('button.search').click(); await page.locator('dialog input').fill('дом'); await page.locator('mark').first().waitFor(); } },
];

mkdirSync(OUT, { recursive: true });
const { url, stop } = await serve(BUILD);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium' });
let made = 0;
for (const theme of ['light', 'dark']) {
  for (const { name, size, scenario = 'talk', hash = '', lang = 'en', more = {}, before, after } of PICTURES) {
    const context = await browser.newContext({ ...size, colorScheme: theme, locale: lang === 'ru' ? 'ru-RU' : 'en-GB', reducedMotion: 'reduce' });
    const page = await context.newPage();
    await page.addInitScript(() => localStorage.setItem('stonechat.told.aaaaaaaa', 'words'));
    await page.clock.setSystemTime(NOW);
    await page.goto(`${url}?${new URLSearchParams({ scenario, lang, theme, ...more })}${hash}`);
    await page.locator('.app, .screen .card:not(.waiting)').first().waitFor();
    await before?.(page);
    await after?.(page);
    await page.evaluate(() => document.fonts.ready);
    await page.waitForTimeout(500);
    await page.evaluate(() => document.activeElement?.matches('textarea') && document.activeElement.blur());
    await page.screenshot({ path: `${OUT}${name}-${theme}.png` });
    made += 1;
    await context.close();
  }
}
await browser.close();
stop();
console.log(`pictures: ${made} made`);
