//! Words for where an acceptance stands.

import type { AcceptanceState } from '../core/gen/api';
import type { AcceptanceFailure } from '../core/faults';
import type { Dict } from '../i18n/en';

/** Whether it stands still until the person does something. */
export function isFailure(state: AcceptanceState): state is AcceptanceFailure {
  return !['saved', 'needsWords', 'claimed', 'waiting', 'accepted'].includes(state);
}

/** Heading and sentence of a state. */
export function acceptanceWords(t: Dict, state: AcceptanceState): { title: string; body: string } {
  if (isFailure(state)) return t.acceptance.failed[state];
  return t.acceptance[state as Exclude<AcceptanceState, AcceptanceFailure>];
}
