//! Words for where an acceptance stands.

import type { Acceptance, AcceptanceState } from '../core/gen/api';
import type { AcceptanceFailure } from '../core/faults';
import type { Dict } from '../i18n/en';

/** Whether it stands still until the person does something. */
export function isFailure(state: AcceptanceState): state is AcceptanceFailure {
  return !['saved', 'needsWords', 'claimed', 'waiting', 'accepted', 'dealt'].includes(state);
}

/** Heading and sentence of where it stands. A link into a group is meant for many: nobody else used it up. */
export function acceptanceWords(t: Dict, { state, group }: Pick<Acceptance, 'state' | 'group'>): { title: string; body: string } {
  if (state === 'used' && group !== null) return t.links.full;
  if (isFailure(state)) return t.acceptance.failed[state];
  return t.acceptance[state as Exclude<AcceptanceState, AcceptanceFailure>];
}
