//! Weighs what a first visit loads (page, script, style, Latin and Cyrillic fonts), gzipped, against the budget.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const BUDGET_KB = 300;
const dist = new URL('../dist/', import.meta.url).pathname;

/** Parts that only load when they are needed: other alphabets, the QR decoder. */
const LATER = /(-ext|greek|vietnamese).*\.woff2$|jsQR/i;

const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
let total = 0;
for (const file of files) {
  const path = join(file.parentPath ?? file.path, file.name);
  if (LATER.test(file.name)) continue;
  const bytes = readFileSync(path);
  total += file.name.endsWith('.woff2') ? bytes.length : gzipSync(bytes, { level: 9 }).length;
}
const kb = Math.round(total / 1000);
console.log(`page: ${kb} kB gzipped, fonts included, budget ${BUDGET_KB} kB`);
if (kb > BUDGET_KB) process.exit(1);
