//! Marked texts as plain ones, and signs around what is selected.
//!
//! In: messages with the tree that core made of their text; what stands in the field. Out: texts for places where nothing
//! is drawn, with spoilers hidden; the field with signs.

import type { Message, Node } from '../core/gen/api';
import type { Dict } from '../i18n/en';

type Told = Pick<Message, 'text' | 'format'>;

const BLOT = '▒';

/** One line for the eye: spoilers are blotted out. */
export function previewText({ text, format }: Told): string {
  return format.length === 0 ? text : flat(format, (hidden) => hidden.replace(/\S/gu, BLOT));
}

/** What is read out: spoilers are named. */
export function spokenText({ text, format }: Told, t: Dict): string {
  return format.length === 0 ? text : flat(format, () => t.marks.hidden);
}

function flat(nodes: readonly Node[], hide: (text: string) => string): string {
  return nodes.map((node) => one(node, hide)).join('');
}

function one(node: Node, hide: (text: string) => string): string {
  if (node.kind === 'spoiler') return hide(flat(node.inside, (text) => text));
  const text = node.text + flat(node.inside, hide);
  return node.kind === 'quote' || node.kind === 'code' ? `\n${text}\n` : text;
}

/** What may be opened: core finds nothing else, and nothing else is let through. */
export function isOpenable(link: string): boolean {
  return /^https?:\/\/[^\s/]/i.test(link);
}

/** Signs by key; with Ctrl, or Cmd on a Mac. */
export function signOf({ key, shiftKey }: { key: string; shiftKey: boolean }): string | null {
  const plain: Record<string, string> = { b: '**', i: '__' };
  const shifted: Record<string, string> = { x: '~~', m: '`', p: '||' };
  return (shiftKey ? shifted : plain)[key.toLowerCase()] ?? null;
}

export interface Field {
  text: string;
  from: number;
  to: number;
}

/** Puts signs around what is selected, or takes them away where they stand already. Spaces at its ends stay outside. */
export function toggle({ text, from, to }: Field, sign: string): Field {
  const size = sign.length;
  if (text.slice(from - size, from) === sign && text.slice(to, to + size) === sign) {
    return { text: text.slice(0, from - size) + text.slice(from, to) + text.slice(to + size), from: from - size, to: to - size };
  }
  const inner = text.slice(from, to);
  const start = from + (inner.trim() === '' ? 0 : inner.length - inner.trimStart().length);
  const end = inner.trim() === '' ? to : start + inner.trim().length;
  return { text: text.slice(0, start) + sign + text.slice(start, end) + sign + text.slice(end), from: start + size, to: end + size };
}

/** What of a name stands behind the last @ before the caret. */
export function begunMention(text: string, caret: number): string | null {
  return /(?:^|[^\p{L}\p{N}])@([^@\n]{0,40})$/u.exec(text.slice(0, caret))?.[1] ?? null;
}
