import { defineConfig } from '@playwright/test';
import { existsSync } from 'node:fs';

// Debian's Chromium; nothing is downloaded. The mock page is served on loopback by the tests themselves. What shows no picture
// and speaks to no real daemon runs in its shell without a head, which takes half the time.
const browser = process.env.CHROMIUM ?? '/usr/bin/chromium';
const HEADLESS = '/usr/bin/chromium-headless-shell';
const headless = process.env.CHROMIUM === undefined && existsSync(HEADLESS) ? HEADLESS : browser;

export default defineConfig({
  testDir: 'tests/e2e',
  outputDir: 'test-results/e2e',
  snapshotPathTemplate: '../docs/pictures/{arg}{ext}',
  updateSnapshots: 'none',
  timeout: 30_000,
  expect: { timeout: 5_000 },
  fullyParallel: true,
  workers: 2,
  forbidOnly: true,
  reporter: [['list'], ['json', { outputFile: 'test-results/e2e.json' }], ['./tests/reporters/playwright-line.ts']],
  use: {
    launchOptions: { executablePath: browser },
    screenshot: 'only-on-failure',
  },
  projects: [
    { name: 'mock', testMatch: 'mock/**/*.spec.ts', testIgnore: '**/pictures.spec.ts', use: { launchOptions: { executablePath: headless } } },
    { name: 'pictures', testMatch: 'mock/pictures.spec.ts' },
    { name: 'real', testMatch: ['real.spec.ts', 'dialer.spec.ts'], timeout: 120_000 },
  ],
});
