import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Client, type ClientEars } from '../../src/core/client';
import { CallError } from '../../src/core/faults';
import type { OpenPipe, PipeEars, PipeEnd } from '../../src/core/pipe';

/** A daemon of three lines: remembers what it was sent, answers what it is told to. */
class Daemon {
  sent: { id: number; method: string; params?: unknown }[] = [];
  ears: PipeEars | null = null;
  opened = 0;
  refuse: PipeEnd | null = null;

  open: OpenPipe = async (ears) => {
    this.opened += 1;
    if (this.refuse !== null) throw this.refuse;
    this.ears = ears;
    return { send: (text) => this.sent.push(JSON.parse(text)), close: () => undefined };
  };

  answer(result: unknown): void {
    this.ears?.text(JSON.stringify({ jsonrpc: '2.0', id: this.sent.at(-1)!.id, result }));
  }

  fail(kind: string): void {
    this.ears?.text(JSON.stringify({ jsonrpc: '2.0', id: this.sent.at(-1)!.id, error: { code: -32000, message: 'no', data: { kind } } }));
  }

  event(seq: number): void {
    this.ears?.text(JSON.stringify({ jsonrpc: '2.0', method: 'event', params: { seq, event: { kind: 'statusChanged' } } }));
  }
}

let daemon: Daemon;
let heard: string[];
let client: Client;
const ears: ClientEars = {
  event: ({ kind }) => heard.push(kind),
  attached: (reset) => heard.push(reset ? 'attached, reset' : 'attached'),
  detached: () => heard.push('detached'),
  refused: () => heard.push('refused'),
};

async function settle(): Promise<void> {
  for (let n = 0; n < 10; n += 1) await Promise.resolve();
}

beforeEach(async () => {
  vi.useFakeTimers();
  daemon = new Daemon();
  heard = [];
  client = new Client(daemon.open, ears);
});
afterEach(() => vi.useRealTimers());

async function attach(seq: number, reset = false): Promise<void> {
  await settle();
  daemon.answer({ seq, reset });
  await settle();
}

describe('the client', () => {
  test('subscribes first and says that everything is to be read', async () => {
    void client.start();
    await attach(7);
    expect(daemon.sent[0]).toMatchObject({ method: 'subscribe', params: {} });
    expect(heard).toEqual(['attached, reset']);
  });

  test('a call resolves with its answer', async () => {
    void client.start();
    await attach(0);
    const answer = client.call('draft.get', { chat: 1 });
    daemon.answer({ text: 'hi' });
    await expect(answer).resolves.toEqual({ text: 'hi' });
  });

  test('a call rejects with its kind', async () => {
    void client.start();
    await attach(0);
    const answer = client.call('accept', { link: 'x' });
    daemon.fail('brokenLink');
    await expect(answer).rejects.toMatchObject({ kind: 'brokenLink' });
    await expect(answer).rejects.toBeInstanceOf(CallError);
  });

  test('methods without parameters send none', async () => {
    void client.start();
    await attach(0);
    void client.call('status').catch(() => undefined);
    expect(daemon.sent.at(-1)).not.toHaveProperty('params');
  });

  test('an event that was seen is not heard twice', async () => {
    void client.start();
    await attach(4);
    daemon.event(5);
    daemon.event(5);
    daemon.event(4);
    daemon.event(6);
    expect(heard.filter((kind) => kind === 'statusChanged')).toHaveLength(2);
  });

  test('after a break it asks for what it missed', async () => {
    void client.start();
    await attach(4);
    daemon.event(9);
    daemon.ears!.end('gone');
    expect(heard.at(-1)).toBe('detached');
    await vi.advanceTimersByTimeAsync(1000);
    expect(daemon.sent.at(-1)).toMatchObject({ method: 'subscribe', params: { since: 9 } });
    daemon.event(10); // replayed before the answer
    await attach(10);
    daemon.event(10);
    expect(heard.slice(-2)).toEqual(['statusChanged', 'attached']);
  });

  test('a reset after a break says that everything is to be read again', async () => {
    void client.start();
    await attach(4);
    daemon.ears!.end('gone');
    await vi.advanceTimersByTimeAsync(1000);
    await attach(2, true);
    expect(heard.at(-1)).toBe('attached, reset');
    daemon.event(3);
    expect(heard.at(-1)).toBe('statusChanged');
  });

  test('calls under way are rejected when the pipe breaks, later ones at once', async () => {
    void client.start();
    await attach(0);
    const under = client.call('status');
    daemon.ears!.end('gone');
    await expect(under).rejects.toMatchObject({ kind: 'disconnected' });
    await expect(client.call('status')).rejects.toMatchObject({ kind: 'disconnected' });
  });

  test('refused: it does not try again', async () => {
    daemon.refuse = 'refused';
    void client.start();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(heard).toEqual(['refused']);
    expect(daemon.opened).toBe(1);
  });

  test('gone: it tries again, ever slower', async () => {
    daemon.refuse = 'gone';
    void client.start();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(daemon.opened).toBeGreaterThan(5);
    expect(daemon.opened).toBeLessThan(15);
    expect(heard).toEqual(['detached']);
  });
});
