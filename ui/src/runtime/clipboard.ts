//! Copying, and forgetting what was copied.

const KEPT_MS = 60_000;
let pending: ReturnType<typeof setTimeout> | undefined;

/** Copies a text. False: the browser refused. */
export async function copy(text: string): Promise<boolean> {
  clearTimeout(pending);
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Copies a secret and empties the clipboard after a minute, where the browser allows it. */
export async function copySecret(text: string, keptMs: number = KEPT_MS): Promise<boolean> {
  if (!(await copy(text))) return false;
  pending = setTimeout(() => void empty(text), keptMs);
  // Something else copied on this page meanwhile is not ours to remove.
  addEventListener('copy', () => clearTimeout(pending), { once: true });
  return true;
}

async function empty(text: string): Promise<void> {
  if (!document.hasFocus()) {
    addEventListener('focus', () => void empty(text), { once: true });
    return;
  }
  try {
    if (await mayRead()) {
      if ((await navigator.clipboard.readText()) !== text) return;
    }
    await navigator.clipboard.writeText('');
  } catch {
    // Refused: nothing more can be done from a page.
  }
}

/** Reading is only tried where it was allowed before: no question is asked for this. */
async function mayRead(): Promise<boolean> {
  try {
    return (await navigator.permissions.query({ name: 'clipboard-read' as PermissionName })).state === 'granted';
  } catch {
    return false;
  }
}
