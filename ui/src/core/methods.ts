//! Names, parameters and answers of everything the page can ask for, over the generated types.

import type { Answers, Command, Done, Query } from './gen/api';

/** What the daemon itself answers, beside core's commands and queries. */
interface DaemonCalls {
  subscribe: { params: { since?: number }; answer: { seq: number; reset: boolean } };
  'passphrase.set': { params: { old?: string; new?: string }; answer: Done };
  dialer: { params: Record<string, never>; answer: { url: string } };
  lock: { params: Record<string, never>; answer: Done };
  unlock: { params: { passphrase: string }; answer: Done };
  wipe: { params: { confirm: 'wipe' }; answer: Done };
}

type CoreCall = Command | Query;

/** Every method name. */
export type Method = CoreCall['method'] | keyof DaemonCalls;

/** Parameters of a method; `undefined` for those without. */
export type Params<M extends Method> = M extends keyof DaemonCalls
  ? DaemonCalls[M]['params']
  : Extract<CoreCall, { method: M }> extends { params: infer P }
    ? P
    : undefined;

/** Answer of a method. */
export type Answer<M extends Method> = M extends keyof DaemonCalls
  ? DaemonCalls[M]['answer']
  : M extends keyof Answers
    ? Answers[M]
    : never;

/** The rest arguments of a call: none where the method takes none. */
export type Arguments<M extends Method> = Params<M> extends undefined ? [] : [params: Params<M>];
