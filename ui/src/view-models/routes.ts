//! Routes that are pasted, many at once: which lines can be given out by a public invitation, and what is wrong with the rest.
//!
//! In: the text, and the relays in use. Out: the routes in their order, and each line that does not do, with the reason (RTE-1,
//! RTE-3, PUB-4). This tells the person which line it is; core reads every route again and decides.

import type { Relay } from '../core/gen/api';

/** Why a line cannot be given out. */
export type WhyNot = 'notRoute' | 'invitation' | 'broken' | 'newer' | 'drop' | 'used' | 'near' | 'twice';

/** A line that cannot be given out. Lines count from 1. */
export interface WrongLine {
  line: number;
  why: WhyNot;
  /** Where it leads, as far as it can be read. */
  address: string | null;
  /** The line that says the same relay before it. */
  before: number | null;
}

/** What a pasted text holds. */
export interface ReadRoutes {
  routes: string[];
  wrong: WrongLine[];
}

/** What a route says. */
export interface Route {
  /** The relay's id, hex. */
  relay: string;
  address: string;
  /** Whoever runs it says that only its local network reaches it. */
  lan: boolean;
}

/** Words of a text that are looked at: twice what an invitation holds, as in core. */
const WORDS_MAX = 128;
const PREFIX = 'stone:r';
const TEXT_MAX = 200;
const VERSION = 1;
const [ID, SECRET, CHECK] = [16, 16, 4];

/** Reads what was pasted, a route a line; several on one line are taken apart. */
export async function readRoutes(text: string, relays: readonly Relay[]): Promise<ReadRoutes> {
  const farthest = doorsOf(relays).reduce((most, { address }) => Math.max(most, reachOf(address)), 0);
  const used = new Set(relays.map(({ id }) => id));
  const seen = new Map<string, number>();
  const read: ReadRoutes = { routes: [], wrong: [] };
  for (const [line, word] of wordsOf(text).slice(0, WORDS_MAX)) {
    const found = await readRoute(word);
    const route = typeof found === 'string' ? null : found;
    const why = typeof found === 'string' ? found : notDealt(found, used, seen, farthest);
    if (why === null) read.routes.push(word);
    else read.wrong.push({ line, why, address: route?.address ?? null, before: why === 'twice' ? seen.get(route!.relay)! : null });
    if (route !== null && !seen.has(route.relay)) seen.set(route.relay, line);
  }
  return read;
}

/** The text without the lines that do not do. */
export function withoutWrong(text: string, wrong: readonly WrongLine[]): string {
  const drop = new Set(wrong.map(({ line }) => line));
  return text.split('\n').filter((line, at) => !drop.has(at + 1) && line.trim() !== '').join('\n');
}

/** The relays that a public invitation would stand on: own ones that anybody may be told of and that have answered. */
export function doorsOf(relays: readonly Relay[]): Relay[] {
  const can = relays.filter((relay) => relay.own && !relay.private && (relay.connected || relay.answeredAt !== null) && !isDrop(relay.address));
  return [...can.filter(({ connected }) => connected), ...can.filter(({ connected }) => !connected)].slice(0, 3);
}

/** Reads one route, its check too; else what is wrong with it. */
export async function readRoute(text: string): Promise<Route | WhyNot> {
  if (/^(stone:i|https?:\/\/)/.test(text)) return 'invitation';
  if (!text.startsWith(PREFIX)) return 'notRoute';
  const bytes = text.length > TEXT_MAX ? null : bytesOf(text.slice(PREFIX.length));
  if (bytes === null) return 'broken';
  if ((bytes[0] ?? 0) > VERSION) return 'newer';
  const route = routeOf(bytes);
  if (route === null || !(await checkHolds(bytes))) return 'broken';
  return isDrop(route.address) ? 'drop' : route;
}

/** What stands in a route's bytes, its check aside: version | local? | secret? | relay id | address | check. */
export function routeOf(bytes: Uint8Array): Route | null {
  const [version, lan, hasSecret] = bytes;
  const from = 3 + (hasSecret === 1 ? SECRET : 0);
  const body = bytes.subarray(from, -CHECK);
  if (version !== VERSION || lan! > 1 || hasSecret! > 1 || body.length <= ID) return null;
  try {
    const address = new TextDecoder('utf-8', { fatal: true }).decode(body.subarray(ID));
    return { relay: hex(body.subarray(0, ID)), address, lan: lan === 1 };
  } catch {
    return null;
  }
}

/** Bytes of base64url without padding; null: it is none. */
export function bytesOf(code: string): Uint8Array | null {
  if (!/^[A-Za-z0-9_-]*$/.test(code)) return null;
  try {
    return Uint8Array.from(atob(code.replaceAll('-', '+').replaceAll('_', '/')), (unit) => unit.charCodeAt(0));
  } catch {
    return null;
  }
}

function wordsOf(text: string): [line: number, word: string][] {
  return text.split('\n').flatMap((line, at) => line.split(/\s+/).filter((word) => word !== '').map((word): [number, string] => [at + 1, word]));
}

/** Why a whole route cannot be given out here. */
function notDealt(route: Route, used: ReadonlySet<string>, seen: ReadonlyMap<string, number>, farthest: number): WhyNot | null {
  if (used.has(route.relay)) return 'used';
  if (seen.has(route.relay)) return 'twice';
  return Math.min(reachOf(route.address), route.lan ? LOCAL : INTERNET) < farthest ? 'near' : null;
}

async function checkHolds(bytes: Uint8Array): Promise<boolean> {
  const said = new TextEncoder().encode('stonechat/route');
  const whole = new Uint8Array(said.length + bytes.length - CHECK);
  whole.set(said);
  whole.set(bytes.subarray(0, -CHECK), said.length);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
  return bytes.subarray(-CHECK).every((byte, at) => byte === hash[at]);
}

function isDrop(address: string): boolean {
  return /^(dav|imap)s?:\/\//.test(address);
}

const [COMPUTER, LOCAL, INTERNET] = [0, 1, 2];

/** From how far an address is reached, by its kind: this computer 0, its network 1, anywhere 2 (MEET-15). */
export function reachOf(address: string): number {
  const place = address.replace(/^[a-z0-9]+:\/\//, '').split(/[,@/]/)[0]!;
  const host = place.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (/^127\.\d+\.\d+\.\d+$/.test(host) || host === '::1' || /(^|\.)localhost$/.test(host)) return COMPUTER;
  if (/^(10\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)[\d.]+$/.test(host)) return LOCAL;
  if (host.includes(':')) return /^(f[cd]|fe[89ab])/i.test(host) ? LOCAL : INTERNET;
  return host.endsWith('.local') || !host.includes('.') ? LOCAL : INTERNET;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
