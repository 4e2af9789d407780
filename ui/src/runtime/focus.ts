//! Giving the focus to a row of a virtual list that may not be in the document yet.

const FRAMES_MAX = 12;
let asked = 0;

/** Focuses the row as soon as it is there. A later wish replaces this one; a focus that moved elsewhere is left alone. */
export function focusRow(list: HTMLElement | undefined, key: string): void {
  asked += 1;
  const mine = asked;
  const attempt = (left: number): void => {
    if (mine !== asked || list === undefined) return;
    const now = document.activeElement;
    if (now !== null && now !== document.body && !list.contains(now)) return;
    const row = list.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
    if (row !== null) row.focus({ preventScroll: true });
    if (row === null || document.activeElement !== row) if (left > 0) requestAnimationFrame(() => attempt(left - 1));
  };
  requestAnimationFrame(() => attempt(FRAMES_MAX));
}

const NEAR = 4;

/** Rows to keep in the document around the one with the focus: quick keys must not outrun it and lose it to nothing. */
export function keptRows(active: number, length: number): number[] {
  const from = Math.max(0, active - NEAR);
  const to = Math.min(length - 1, active + NEAR);
  return active < 0 ? [] : Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => from + at);
}
