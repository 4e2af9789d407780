//! One open chat: the loaded stretch of messages, the messages being sent, and where the reader stands.
//!
//! In: pages and events from core, texts from the composer. Out: rows for the timeline.
//! A sent text stands here at once under a client id, and is replaced by core's message with the same id.

import type { Event, Message } from '../core/gen/api';
import { faultOf, type UiFault } from '../core/faults';
import { add, append, change, EMPTY, fromPage, prepend, remove, setState, type Window } from '../view-models/window';
import { app, type Listener } from './app.svelte';

/** A text on its way into core. */
export interface Sending {
  clientId: string;
  chat: number;
  text: string;
  sentAt: number;
  /** The message it answers. */
  answers: Message | null;
  fault: UiFault | null;
}

const PAGE = 60;

/** Texts on their way, over all chats: they outlive a closed timeline and a broken pipe. */
class Outgoing {
  list = $state.raw<readonly Sending[]>([]);

  of(chat: number): Sending[] {
    return this.list.filter((sending) => sending.chat === chat);
  }

  /** Sends a text. It is kept and sent again after a break; the client id keeps it single. */
  send(chat: number, text: string, answers: Message | null = null): void {
    const sending: Sending = { clientId: crypto.randomUUID(), chat, text, sentAt: Date.now(), answers, fault: null };
    this.list = [...this.list, sending];
    void this.#try(sending);
  }

  again(clientId: string): void {
    const sending = this.list.find((one) => one.clientId === clientId);
    if (sending === undefined) return;
    this.#change(clientId, null);
    void this.#try(sending);
  }

  drop(clientId: string): void {
    this.list = this.list.filter((one) => one.clientId !== clientId);
  }

  /** After a break: whatever had no answer is sent again. */
  resume(): void {
    for (const { clientId, fault } of this.list) if (fault === 'disconnected') this.again(clientId);
  }

  async #try({ clientId, chat, text, answers }: Sending): Promise<void> {
    try {
      const message = await app.call('send', { chat, text, marked: true, clientId, ...(answers === null ? {} : { replyTo: answers.id }) });
      for (const timeline of open) timeline.added(message);
      this.drop(clientId);
    } catch (error) {
      this.#change(clientId, faultOf(error));
    }
  }

  #change(clientId: string, fault: UiFault | null): void {
    this.list = this.list.map((one) => (one.clientId === clientId ? { ...one, fault } : one));
  }
}

export const outgoing = new Outgoing();
const open = new Set<Timeline>();

// Locked or destroyed: no text stays in the page.
app.listen({
  event: ({ kind }) => {
    if (kind === 'locked' || kind === 'wiped') outgoing.list = [];
  },
  reload: () => undefined,
});

export class Timeline implements Listener {
  readonly chat: number;
  window = $state.raw<Window>(EMPTY);
  loading = $state<'open' | 'before' | 'after' | null>('open');
  fault = $state<UiFault | null>(null);
  /** Position of the first message that was unread at opening: the line stands above it. */
  divider = $state<number | null>(null);
  /** True while rows are being put before the first one (for the virtual list). */
  shift = $state(false);
  /** Where the view shall stand after the next load: a position, or the end. */
  target = $state.raw<{ position: number | 'end'; flash: boolean } | null>(null);
  #closed = false;

  constructor(chat: number) {
    this.chat = chat;
    open.add(this);
  }

  close(): void {
    this.#closed = true;
    open.delete(this);
  }

  /** Opens at a message, at the first unread one, or at the end. */
  async open(anchor: number | null, firstUnread: number | null): Promise<void> {
    this.divider = firstUnread;
    const around = anchor ?? firstUnread;
    await this.#load('open', { around }, (_, page) => fromPage(page));
    this.target = around === null ? { position: 'end', flash: false } : { position: around, flash: anchor !== null };
  }

  async before(): Promise<void> {
    const first = this.window.messages[0];
    if (!this.window.moreBefore || this.loading !== null || first === undefined) return;
    await this.#load('before', { before: first.position }, (window, page) => {
      this.shift = true;
      return prepend(window, page);
    });
  }

  async after(): Promise<void> {
    const last = this.window.messages.at(-1);
    if (!this.window.moreAfter || this.loading !== null || last === undefined) return;
    await this.#load('after', { after: last.position }, append);
  }

  /** To the newest message: loads the end if it is not here. */
  async toEnd(): Promise<void> {
    if (this.window.moreAfter) await this.#load('open', {}, (_, page) => fromPage(page));
    this.target = { position: 'end', flash: false };
  }

  /** To a message of this chat, loaded or not. */
  async jump(position: number): Promise<void> {
    const here = this.window.messages.some((message) => message.position === position);
    if (!here) await this.#load('open', { around: position }, (_, page) => fromPage(page));
    this.target = { position, flash: true };
  }

  added(message: Message): void {
    if (message.chat !== this.chat) return;
    this.shift = false;
    this.window = add(this.window, message);
  }

  event(event: Event): void {
    if (event.kind === 'messageAdded') this.added(event.message);
    if (event.kind === 'messageChanged' && event.message.chat === this.chat) this.window = change(this.window, event.message);
    if (event.kind === 'messageRemoved' && event.chat === this.chat) this.window = remove(this.window, event.id);
    if (event.kind === 'messageState' && event.chat === this.chat) this.window = setState(this.window, event.id, event.state);
  }

  /** Something large changed: reads the same stretch again. */
  reload(): void {
    const middle = this.window.messages[Math.floor(this.window.messages.length / 2)];
    const around = this.window.moreAfter ? middle?.position : undefined;
    void this.#load('open', { around }, (_, page) => fromPage(page));
  }

  async #load(
    what: 'open' | 'before' | 'after',
    where: { around?: number | null; before?: number; after?: number },
    merge: (window: Window, page: Awaited<ReturnType<typeof this.page>>) => Window,
  ): Promise<void> {
    this.loading = what;
    this.fault = null;
    try {
      const page = await this.page(where);
      if (this.#closed) return;
      this.shift = false;
      this.window = merge(this.window, page);
    } catch (error) {
      this.fault = faultOf(error);
    } finally {
      this.loading = null;
    }
  }

  page(where: { around?: number | null; before?: number; after?: number }) {
    return app.call('messages', { chat: this.chat, limit: PAGE, ...where });
  }
}
