//! What the field under a chat is about, where it is not just a new message: an answer, or another text for an old one.

import { SvelteMap } from 'svelte/reactivity';
import type { Message } from '../core/gen/api';
import { app } from './app.svelte';

export interface Composing {
  kind: 'reply' | 'edit';
  message: Message;
}

class ComposingState {
  readonly #chats = new SvelteMap<number, Composing>();

  of(chat: number): Composing | null {
    return this.#chats.get(chat) ?? null;
  }

  begin(kind: Composing['kind'], message: Message): void {
    this.#chats.set(message.chat, { kind, message });
  }

  end(chat: number): void {
    this.#chats.delete(chat);
  }

  clear(): void {
    this.#chats.clear();
  }

  /** A message went, or was deleted for everybody: nobody answers or edits it any more. */
  gone(chat: number, id: string): void {
    if (this.#chats.get(chat)?.message.id === id) this.#chats.delete(chat);
  }
}

export const composing = new ComposingState();

app.listen({
  event: (event) => {
    if (event.kind === 'locked' || event.kind === 'wiped') composing.clear();
    if (event.kind === 'messageRemoved') composing.gone(event.chat, event.id);
    if (event.kind === 'messageChanged' && event.message.kind === 'deleted') composing.gone(event.message.chat, event.message.id);
  },
  reload: () => undefined,
});
