import { defineConfig } from '@playwright/test';

// Debian's Chromium; nothing is downloaded. The mock page is served on loopback by the tests themselves.
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
    launchOptions: { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium' },
    screenshot: 'only-on-failure',
  },
  projects: [
    { name: 'mock', testMatch: 'mock/**/*.spec.ts' },
    { name: 'real', testMatch: 'real.spec.ts', timeout: 120_000 },
  ],
});
