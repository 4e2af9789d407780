//! Giving the focus to a row of a virtual list that may not be in the document yet.

/** How long a row may take to come into the document. */
const WAIT_MAX_MS = 2_000;
let asked = 0;

/** Focuses the row as soon as it is there. A later wish replaces this one; a focus that moved elsewhere is left alone. */
export function focusRow(list: HTMLElement | undefined, key: string): void {
  asked += 1;
  const mine = asked;
  const until = performance.now() + WAIT_MAX_MS;
  const attempt = (): void => {
    if (mine !== asked || list === undefined) return;
    const now = document.activeElement;
    if (now !== null && now !== document.body && !list.contains(now)) return;
    const row = list.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
    if (row !== null) row.focus({ preventScroll: true });
    if (document.activeElement !== row && performance.now() < until) requestAnimationFrame(attempt);
  };
  requestAnimationFrame(attempt);
}

const NEAR = 4;

/**
 * Rows to keep in the document: those around the one that shall have the focus, and the one that has it. Keys that come
 * quicker than rows would otherwise go to nothing. -1: there is none.
 */
export function keptRows(active: number, focused: number, length: number): number[] {
  const kept = new Set<number>();
  if (active >= 0) for (let at = active - NEAR; at <= active + NEAR; at += 1) kept.add(at);
  kept.add(focused);
  return [...kept].filter((at) => at >= 0 && at < length).sort((a, b) => a - b);
}

/** The key of the row that an event happened in. */
export function rowOf(event: Event): string | null {
  const row = (event.target as Element).closest<HTMLElement>('[data-key]');
  return row?.dataset.key ?? null;
}
