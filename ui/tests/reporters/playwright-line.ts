//! Ends a Playwright run with one line a script can read: `e2e: N passed, N failed, N skipped`.

import type { FullResult, Reporter, Suite } from '@playwright/test/reporter';

export default class Line implements Reporter {
  #suite: Suite | undefined;

  onBegin(_: unknown, suite: Suite): void {
    this.#suite = suite;
  }

  onEnd(result: FullResult): void {
    const count = { passed: 0, failed: 0, skipped: 0 };
    for (const test of this.#suite?.allTests() ?? []) {
      const outcome = test.outcome();
      if (outcome === 'expected') count.passed += 1;
      else if (outcome === 'skipped') {
        // What did not run because something before it failed is not a skip that somebody chose.
        if (test.results.length > 0 && test.annotations.some(({ type }) => type === 'skip')) {
          count.skipped += 1;
          console.log(`skipped: ${test.titlePath().filter(Boolean).join(' > ')}`);
        } else count.failed += 1;
      } else count.failed += 1;
    }
    if (result.status !== 'passed' && count.failed === 0) count.failed = 1;
    console.log(`e2e: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  }

  printsToStdio(): boolean {
    return false;
  }
}
