//! Who is writing in which chat at this moment. Nothing of it is kept.

import { SvelteMap } from 'svelte/reactivity';
import { app } from './app.svelte';

/** So long after a signal somebody counts as writing. */
export const SEEN_MS = 6_000;
/** So often this page says that something is being written. */
const SAID_MS = 4_000;

class Typing {
  readonly #chats = new SvelteMap<number, readonly { account: string; name: string }[]>();
  readonly #ends = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #said = new Map<number, number>();

  /** Names of those who write there. */
  in(chat: number): readonly string[] {
    return (this.#chats.get(chat) ?? []).map(({ name }) => name);
  }

  heard(chat: number, account: string, name: string, left: number): void {
    if (left <= 0) return;
    this.gone(chat, account);
    this.#chats.set(chat, [...(this.#chats.get(chat) ?? []), { account, name }]);
    this.#ends.set(`${chat} ${account}`, setTimeout(() => this.gone(chat, account), Math.min(left, SEEN_MS)));
  }

  gone(chat: number, account: string): void {
    const key = `${chat} ${account}`;
    clearTimeout(this.#ends.get(key));
    if (!this.#ends.delete(key)) return;
    this.#chats.set(chat, (this.#chats.get(chat) ?? []).filter((one) => one.account !== account));
  }

  /** Something was typed here: others are told, but not with every letter. */
  say(chat: number): void {
    const now = Date.now();
    if (now - (this.#said.get(chat) ?? 0) < SAID_MS) return;
    this.#said.set(chat, now);
    app.call('typing', { chat }).catch(() => undefined); // said again with the next letters
  }

  /** The text has left: the next one is told at once. */
  sent(chat: number): void {
    this.#said.delete(chat);
  }
}

export const typing = new Typing();

app.listen({
  event: (event) => {
    if (event.kind === 'typing') typing.heard(event.chat, event.account, event.name, SEEN_MS - Math.max(0, Date.now() - event.at));
    if (event.kind === 'messageAdded') typing.gone(event.message.chat, event.message.from);
  },
  reload: () => undefined,
});
