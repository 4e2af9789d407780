//! Keyboard shortcuts of the whole page. Inside a dialog the dialog's own keys rule.

import { app } from '../state/app.svelte';
import { overlay } from '../state/overlay.svelte';
import { router, type Page } from '../state/router.svelte';

/** Starts listening; the answer stops it. */
export function listenForKeys(): () => void {
  addEventListener('keydown', pressed);
  return () => removeEventListener('keydown', pressed);
}

function pressed(event: KeyboardEvent): void {
  if (document.querySelector('dialog[open]') !== null || event.isComposing) return;
  const action = actionOf(event);
  if (action === null) return;
  event.preventDefault();
  action();
}

function actionOf(event: KeyboardEvent): (() => void) | null {
  const { code, altKey } = event;
  const command = (event.ctrlKey || event.metaKey) && !altKey && !event.shiftKey;
  const alt = altKey && !event.ctrlKey && !event.metaKey && !event.shiftKey;
  const page = router.page;
  if (command && code === 'KeyK') return () => overlay.show({ kind: 'search', chat: null });
  if (command && code === 'KeyF' && page.name === 'chat') return () => overlay.show({ kind: 'search', chat: page.chat });
  if (command && code === 'Slash') return () => overlay.show({ kind: 'keys' });
  // Browsers keep Ctrl+N to themselves in a tab; Alt+N works everywhere.
  if ((command || alt) && code === 'KeyN') return () => router.go({ name: 'invite' });
  if (alt && code === 'ArrowUp') return () => neighbour(-1);
  if (alt && code === 'ArrowDown') return () => neighbour(1);
  if (event.key === 'Escape' && page.name !== 'home') return () => router.up(parentOf(page));
  return null;
}

function neighbour(step: 1 | -1): void {
  const chats = app.chatList;
  const page = router.page;
  const now = 'chat' in page ? chats.findIndex(({ id }) => id === page.chat) : -1;
  const next = chats[now < 0 ? 0 : now + step];
  if (next !== undefined) router.go({ name: 'chat', chat: next.id });
}

/** The page above a page. */
export function parentOf(page: Page): Page {
  if (page.name === 'contact') return { name: 'chat', chat: page.chat };
  if (page.name === 'safety') return { name: 'contact', chat: page.chat };
  if (page.name === 'invitation') return { name: 'invites' };
  return { name: 'home' };
}
