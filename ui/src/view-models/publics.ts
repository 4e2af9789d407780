//! Public invitations in numbers: how relays spread over days, what is over, and who was given out when.

import type { InviteState, PublicInvite } from '../core/gen/api';

/** Relays that one gives out: at least, at most (PUB-4). */
export const RELAYS_MIN = 4;
export const RELAYS_MAX = 64;
/** Days that one lasts at most. */
export const DAYS_MAX = 60;
/** Pairs that all days have together, at most (PUB-2). */
export const PAIRS_MAX = 256;
/** That are open at once. */
export const OPEN_MAX = 4;

const DAY_MS = 86_400_000;

/** How a wish spreads: `once` each relay on one day, `again` some on several, `some` not all of them, `tooMany` more than fits. */
export type Spread = 'once' | 'again' | 'some' | 'tooMany';

/** What a wish comes to. */
export interface Plan {
  /** Pairs a day. */
  pairs: number;
  /** Relays that are given out a day. */
  relays: number;
  spread: Spread;
  /** Relays that are never given out, where it is `some`. */
  left: number;
}

/** Days that one usually lasts: so many that each relay is given out on one of them, and one pair a day. */
export function usualDays(relays: number): number {
  return Math.min(DAYS_MAX, Math.max(1, Math.ceil(relays / 2)));
}

/** How relays spread over days; without a wish for pairs so that all are given out once (PUB-4). */
export function planOf(relays: number, days: number, wish: number | null): Plan {
  const pairs = wish ?? Math.ceil(Math.ceil(relays / 2) / days);
  const all = pairs * days;
  const left = Math.max(0, relays - all * 2);
  const spread = all > PAIRS_MAX ? 'tooMany' : left > 0 ? 'some' : all > Math.ceil(relays / 2) ? 'again' : 'once';
  return { pairs, relays: Math.min(relays, pairs * 2), spread, left };
}

/** A whole number within bounds; null: it is none. */
export function wholeNumber(text: string, most: number): number | null {
  const number = /^\s*\d{1,4}\s*$/.test(text) ? Number(text) : 0;
  return number >= 1 && number <= most ? number : null;
}

/** Where one stands, in the four words that there are for it: it is never used up. */
export type Standing = 'preparing' | 'open' | 'over' | 'closed';

/** Where one stands. */
export function standingOf(state: InviteState): Standing {
  if (state === 'preparing' || state === 'open') return state;
  return state === 'expired' ? 'over' : 'closed';
}

/** Whether one gives out, or is about to. */
export function isOpen({ state }: PublicInvite): boolean {
  return state === 'preparing' || state === 'open';
}

/** The open ones and the others, the newest first. */
export function sorted(publics: Iterable<PublicInvite>): { open: PublicInvite[]; over: PublicInvite[] } {
  const all = [...publics].sort((a, b) => b.createdAt - a.createdAt);
  return { open: all.filter(isOpen), over: all.filter((one) => !isOpen(one)) };
}

/** Days that are left, the present one counted. */
export function daysLeft({ expiresAt, days }: PublicInvite, now: number): number {
  return Math.min(days.length, Math.max(0, Math.ceil((expiresAt - now) / DAY_MS)));
}

/** Which day it is, from 0: the first one before it begins, the last one after. */
export function dayNow({ createdAt, days }: PublicInvite, now: number): number {
  return Math.min(days.length - 1, Math.max(0, Math.floor((now - createdAt) / DAY_MS)));
}

/** When a day begins. */
export function dayBegins({ createdAt }: PublicInvite, day: number): number {
  return createdAt + day * DAY_MS;
}

/** Relays of a day, each once. */
export function relaysOf({ days }: PublicInvite, day: number): string[] {
  return [...new Set(days[day] ?? [])];
}

/** A relay, and the days on which it is given out. */
export interface Given {
  address: string;
  days: number[];
}

/** On which days each relay is given out, by address. */
export function byRelay(invite: PublicInvite): Given[] {
  const given = new Map<string, number[]>();
  for (const day of invite.days.keys()) for (const address of relaysOf(invite, day)) given.set(address, [...(given.get(address) ?? []), day]);
  return [...given].map(([address, days]) => ({ address, days })).sort((a, b) => a.address.localeCompare(b.address, 'en', { numeric: true }));
}
