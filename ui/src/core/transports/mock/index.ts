//! The pipe to the in-memory backend, and the handle by which tests steer it (`window.mock`).
//!
//! The address chooses what is in it: `?scenario=talk&lang=ru&theme=dark` (scenarios: `scenarios.ts`).

import { CallError } from '../../faults';
import type { OpenPipe, PipeEars } from '../../pipe';
import { Backend } from './backend';
import { scenario } from './scenarios';

/** What a test holds in its hands. */
export interface MockHandle {
  backend: Backend;
  /** The daemon goes away (and comes back when asked). */
  cut(): void;
  heal(): void;
  /** Everything that was asked for, in order. */
  calls: { method: string; params: unknown }[];
}

declare global {
  interface Window {
    mock?: MockHandle;
  }
}

let ears: PipeEars | null = null;
let away = false;

function handle(backend: Backend): MockHandle {
  return {
    backend,
    calls: [],
    cut: () => {
      away = true;
      const was = ears;
      ears = null;
      was?.end('gone');
    },
    heal: () => (away = false),
  };
}

/** Opens the mock pipe; the backend lives as long as the page. */
export const openMock: OpenPipe = async (hearing) => {
  const query = new URLSearchParams(location.search);
  if (query.get('scenario') === 'noAccess') throw 'refused';
  window.mock ??= handle(scenario(query));
  const { backend, calls } = window.mock;
  if (away) throw 'gone';
  ears = hearing;
  backend.hear((seq, event) => ears?.text(JSON.stringify({ jsonrpc: '2.0', method: 'event', params: { seq, event } })));
  return {
    send: (text) => {
      const { id, method, params } = JSON.parse(text) as { id: number; method: string; params: unknown };
      calls.push({ method, params });
      setTimeout(() => hearing.text(JSON.stringify(answer(backend, id, method, params))), 0);
    },
    close: () => undefined,
  };
};

function answer(backend: Backend, id: number, method: string, params: unknown): object {
  try {
    const result = method === 'subscribe' ? { seq: backend.seq, reset: (params as { since?: number }).since !== backend.seq } : backend.call(method, params);
    return { jsonrpc: '2.0', id, result };
  } catch (error) {
    const kind = error instanceof CallError ? error.kind : 'internal';
    return { jsonrpc: '2.0', id, error: { code: -32000, message: String(error), data: { kind } } };
  }
}
