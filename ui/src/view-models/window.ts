//! The stretch of a chat that is loaded: one gapless run of messages, and how much lies before and after it.
//!
//! In: pages from core and events. Out: a new window; the old one is never changed.
//! Scrolling and focus are the timeline component's job.

import type { Message, MessageState, Messages } from '../core/gen/api';

export interface Window {
  messages: readonly Message[];
  moreBefore: boolean;
  moreAfter: boolean;
  /** All messages of the chat. */
  total: number;
  /** How many of them stand before the first one here. */
  index: number;
}

export const EMPTY: Window = { messages: [], moreBefore: false, moreAfter: false, total: 0, index: 0 };

/** A window that is just this page. */
export function fromPage(page: Messages): Window {
  const { messages, moreBefore, moreAfter, total, index } = page;
  return { messages, moreBefore, moreAfter, total, index };
}

/** Puts an older page before the window. */
export function prepend(window: Window, page: Messages): Window {
  const first = window.messages[0]?.position ?? Infinity;
  const older = page.messages.filter(({ position }) => position < first);
  return {
    messages: [...older, ...window.messages],
    moreBefore: page.moreBefore,
    moreAfter: window.moreAfter,
    total: page.total,
    index: page.messages.length === 0 ? 0 : page.index,
  };
}

/** Puts a newer page after the window. */
export function append(window: Window, page: Messages): Window {
  const last = window.messages.at(-1)?.position ?? -Infinity;
  const newer = page.messages.filter(({ position }) => position > last);
  return { ...window, messages: [...window.messages, ...newer], moreAfter: page.moreAfter, total: page.total };
}

/** Takes in one message that was added to the chat; a message that is here already is replaced. */
export function add(window: Window, message: Message): Window {
  const at = window.messages.findIndex(({ id }) => id === message.id);
  if (at >= 0) return { ...window, messages: window.messages.with(at, message) };
  const { messages } = window;
  const last = messages.at(-1);
  const total = window.total + 1;
  if (last === undefined) return window.moreAfter || window.moreBefore ? { ...window, total } : { ...window, messages: [message], total };
  if (message.position > last.position) return window.moreAfter ? { ...window, total } : { ...window, messages: [...messages, message], total };
  const place = messages.findIndex(({ position }) => position > message.position);
  if (place === 0 && window.moreBefore) return { ...window, total, index: window.index + 1 };
  return { ...window, messages: messages.toSpliced(place, 0, message), total };
}

/** A message changed: in its place, if it is here. */
export function change(window: Window, message: Message): Window {
  const at = window.messages.findIndex(({ id }) => id === message.id);
  return at < 0 ? window : { ...window, messages: window.messages.with(at, message) };
}

/** A message is gone. One that is not loaded stood before or after the stretch: its page will tell. */
export function remove(window: Window, id: string): Window {
  const at = window.messages.findIndex((message) => message.id === id);
  if (at < 0) return window;
  return { ...window, messages: window.messages.toSpliced(at, 1), total: Math.max(0, window.total - 1) };
}

/** Changes the state of one message; it never goes back. */
export function setState(window: Window, id: string, state: MessageState): Window {
  const at = window.messages.findIndex((message) => message.id === id);
  const old = window.messages[at];
  if (old === undefined || rank(old.state) > rank(state)) return window;
  return { ...window, messages: window.messages.with(at, { ...old, state }) };
}

/** Order of the states of one's own message; `received` stands before `read`. */
function rank(state: MessageState): number {
  return { received: 0, queued: 0, carried: 1, delivered: 2, read: 3 }[state];
}
