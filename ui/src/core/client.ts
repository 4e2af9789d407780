//! The JSON-RPC 2.0 client: calls with typed answers, events in order, and coming back after a break.
//!
//! In: a way to open a pipe. Out: answers, events, and `attached` / `detached` / `refused`.
//! A break loses nothing: `subscribe {since}` replays what was missed, or says `reset` and everything is read again.
//! Not its job: what an event means (`state/`).

import type { Event } from './gen/api';
import type { Answer, Arguments, Method } from './methods';
import { CallError, type UiFault } from './faults';
import type { OpenPipe, Pipe, PipeEnd } from './pipe';

const BACKOFF_MS = [200, 500, 1000, 2000, 4000];

/** What the owner of a client hears. */
export interface ClientEars {
  event(event: Event): void;
  /** The pipe stands. `reset`: what is known may be out of date, read it again. */
  attached(reset: boolean): void;
  detached(): void;
  /** No access, for good. */
  refused(): void;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: CallError): void;
}

interface Frame {
  id?: number;
  result?: unknown;
  error?: { code: number; message: string; data?: { kind?: string } };
  method?: string;
  params?: { seq: number; event: Event };
}

export class Client {
  readonly #open: OpenPipe;
  readonly #ears: ClientEars;
  #pipe: Pipe | null = null;
  #nextId = 1;
  #waiting = new Map<number, Waiting>();
  #seq: number | null = null;
  #tries = 0;
  #stopped = false;

  constructor(open: OpenPipe, ears: ClientEars) {
    this.#open = open;
    this.#ears = ears;
  }

  /** Connects, and goes on trying until it is refused or stopped. */
  async start(): Promise<void> {
    let pipe: Pipe;
    try {
      pipe = await this.#open({ text: (text) => this.#heard(text), end: (why) => this.#ended(why) });
    } catch (why) {
      this.#ended(why === 'refused' ? 'refused' : 'gone');
      return;
    }
    this.#pipe = pipe;
    await this.#subscribe();
  }

  /** Closes the pipe and stays away. */
  stop(): void {
    this.#stopped = true;
    this.#pipe?.close();
  }

  /** Calls a method. Rejects with [`CallError`] only. */
  call<M extends Method>(method: M, ...args: Arguments<M>): Promise<Answer<M>> {
    const pipe = this.#pipe;
    if (pipe === null) return Promise.reject(new CallError('disconnected'));
    const id = this.#nextId++;
    const params = args[0];
    return new Promise<Answer<M>>((resolve, reject) => {
      this.#waiting.set(id, { resolve: (value) => resolve(value as Answer<M>), reject });
      pipe.send(JSON.stringify({ jsonrpc: '2.0', id, method, ...(params === undefined ? {} : { params }) }));
    });
  }

  async #subscribe(): Promise<void> {
    const since = this.#seq;
    try {
      const { seq, reset } = await this.call('subscribe', since === null ? {} : { since });
      // Replayed events may have come before this answer; never go back.
      if (reset || this.#seq === null) this.#seq = seq;
      this.#tries = 0;
      this.#ears.attached(reset || since === null);
    } catch {
      // The pipe broke meanwhile, `#ended` has it; or the daemon is another version: its answer to `status` will tell.
      if (this.#pipe !== null) this.#ears.attached(true);
    }
  }

  #heard(text: string): void {
    const frame = JSON.parse(text) as Frame;
    if (frame.method === 'event' && frame.params !== undefined) {
      const { seq, event } = frame.params;
      if (this.#seq !== null && seq <= this.#seq) return; // seen before the break
      this.#seq = seq;
      this.#ears.event(event);
      return;
    }
    if (frame.id === undefined) return;
    const waiting = this.#waiting.get(frame.id);
    this.#waiting.delete(frame.id);
    if (frame.error === undefined) waiting?.resolve(frame.result);
    else waiting?.reject(new CallError((frame.error.data?.kind ?? 'internal') as UiFault, frame.error.message));
  }

  #ended(why: PipeEnd): void {
    const was = this.#pipe !== null;
    this.#pipe = null;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const call of waiting) call.reject(new CallError('disconnected'));
    if (this.#stopped) return;
    if (why === 'refused') {
      this.#ears.refused();
      return;
    }
    if (was || this.#tries === 0) this.#ears.detached();
    const wait = BACKOFF_MS[Math.min(this.#tries, BACKOFF_MS.length - 1)];
    this.#tries += 1;
    setTimeout(() => void this.start(), wait);
  }
}
