//! Bundles: pages of items into one file, and a file into pages. Shape: docs/protocol/15-bundle.md (BDL-1).
//!
//! In: pages as the daemon gives them; the bytes of a file that somebody brought. Out: a file; pages as the daemon takes
//! them, or null where the file was cut short or changed. What is inside is sealed: nothing here reads it.

import { base64Of, bytesOf } from './media';

const VERSION = 1;
const END = 0;
const HASH = 32;
const ITEM_HEAD = 5;
const FILE_BYTES_MAX = 64 * 1024 * 1024;
const PAGE_BYTES = 160_000;

const hashOf = async (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));

/** A whole file of these pages, base64 each. Null: more than a file holds. */
export async function fileOf(pages: readonly string[]): Promise<Blob | null> {
  const items = pages.map(bytesOf);
  const size = items.reduce((sum, page) => sum + page.length, 0);
  if (size > FILE_BYTES_MAX - HASH - 2) return null;
  const body = new Uint8Array(size + 2);
  body[0] = VERSION;
  let at = 1;
  for (const page of items) {
    body.set(page, at);
    at += page.length;
  }
  body[at] = END;
  return new Blob([body, await hashOf(body) as Uint8Array<ArrayBuffer>], { type: 'application/octet-stream' });
}

/** Its pages, base64 each. Null: it is no whole bundle. */
export async function pagesOf(file: Blob): Promise<string[] | null> {
  if (file.size > FILE_BYTES_MAX || file.size < HASH + 2) return null;
  const bytes = new Uint8Array(await file.arrayBuffer());
  const body = bytes.slice(0, -HASH);
  const hash = await hashOf(body);
  const whole = body[0] === VERSION && body.at(-1) === END && hash.every((byte, at) => byte === bytes[body.length + at]);
  return whole ? cut(body.subarray(1, -1)) : null;
}

function cut(items: Uint8Array): string[] | null {
  const view = new DataView(items.buffer, items.byteOffset, items.length);
  const pages: string[] = [];
  for (let from = 0, at = 0; at < items.length; ) {
    if (at + ITEM_HEAD > items.length) return null;
    at += ITEM_HEAD + view.getUint32(at + 1);
    if (at > items.length) return null;
    if (at - from < PAGE_BYTES && at < items.length) continue;
    pages.push(base64Of(items.subarray(from, at)));
    from = at;
  }
  return pages;
}
