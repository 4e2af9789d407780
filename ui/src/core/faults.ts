//! Kinds of failure as the interface words them: the api's own, and those that only the page can see.

import type { AcceptanceState, Fault, InviteState } from './gen/api';

/** Everything that a call can fail with. `profileInUse` comes from the daemon's start, `disconnected` from the pipe. */
export type UiFault = Fault | 'profileInUse' | 'disconnected';

/** Faults that take the whole screen, because there is nothing to show behind them. */
export type ScreenFault = 'newerDatabase' | 'brokenDatabase' | 'profileInUse' | 'diskFull' | 'internal';

/** Acceptances that stand still until the person does something. */
export type AcceptanceFailure = Exclude<AcceptanceState, 'saved' | 'needsWords' | 'claimed' | 'waiting' | 'accepted' | 'dealt'>;

/** A label and a sentence for every state of an invitation. */
export type InviteStateWords = Record<InviteState, { label: string; body: string }>;

const SCREEN: readonly ScreenFault[] = ['newerDatabase', 'brokenDatabase', 'profileInUse', 'diskFull', 'internal'];

/** Whether a fault of `status` leaves nothing to show. */
export function isScreenFault(fault: UiFault): fault is ScreenFault {
  return (SCREEN as readonly string[]).includes(fault);
}

/** A call that was not done, with the kind that has words. */
export class CallError extends Error {
  readonly kind: UiFault;
  constructor(kind: UiFault, message: string = kind) {
    super(message);
    this.name = 'CallError';
    this.kind = kind;
  }
}

/** The kind of anything thrown; what is not ours is an internal error. */
export function faultOf(error: unknown): UiFault {
  return error instanceof CallError ? error.kind : 'internal';
}
