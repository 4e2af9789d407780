import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// `--mode mock` builds the page around an in-memory backend; the ordinary build leaves that code out.
export default defineConfig(({ mode }) => ({
  base: './',
  plugins: [svelte()],
  define: { __MOCK__: JSON.stringify(mode === 'mock' || mode === 'test') },
  resolve: process.env.VITEST ? { conditions: ['browser'] } : {},
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // font-src and img-src name no data: for assets
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  test: {
    include: ['tests/unit/**/*.test.ts'],
    environment: 'node',
    reporters: ['default', ['json', { outputFile: 'test-results/unit.json' }], './tests/reporters/vitest-line.ts'],
  },
}));
