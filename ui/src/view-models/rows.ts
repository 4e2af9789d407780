//! Rows of the timeline: every message once, with what stands above it and how its bubble joins its neighbours.
//!
//! In: the loaded messages and the texts on their way. Out: one row a message; day, divider and gap stand inside it.

import type { Message, MessageState, Quote } from '../core/gen/api';
import type { Sending } from '../state/timeline.svelte';
import { previewText } from './marks';
import { dayOf } from './time';

export type RowState = MessageState | 'sending' | 'failed';

export interface Row {
  /** Stays the same when core's message takes the place of the one on its way. */
  key: string;
  message: Message;
  state: RowState;
  sending: Sending | null;
  /** A new day begins here. */
  day: boolean;
  /** First unread message at opening. */
  divider: boolean;
  /** First and last of a run of bubbles by one sender. */
  first: boolean;
  last: boolean;
}

const RUN_MS = 10 * 60_000;

/** Builds the rows. */
export function rows(messages: readonly Message[], sending: readonly Sending[], me: string, divider: number | null): Row[] {
  const here = new Set(messages.map(({ clientId }) => clientId));
  const waiting = sending.filter(({ clientId }) => !here.has(clientId));
  const lastPosition = messages.at(-1)?.position ?? 0;
  const all: { message: Message; sending: Sending | null }[] = [
    ...messages.map((message) => ({ message, sending: null })),
    ...waiting.map((one, at) => ({ message: asMessage(one, me, lastPosition + 1 + at), sending: one })),
  ];
  return all.map(({ message, sending }, at) => {
    const before = all[at - 1]?.message;
    const after = all[at + 1]?.message;
    const newDay = before === undefined || day(before) !== day(message);
    return {
      key: message.clientId ?? message.id,
      message,
      state: sending === null ? message.state : sending.fault === null || sending.fault === 'disconnected' ? 'sending' : 'failed',
      sending,
      day: newDay,
      divider: divider !== null && message.position === divider,
      first: newDay || before === undefined || !joined(before, message) || message.position === divider,
      last: after === undefined || !joined(message, after) || after.position === divider,
    };
  });
}

const days = new WeakMap<Message, number>();

/** Calendar day of a message, worked out once: the rows are made anew with every page. */
function day(message: Message): number {
  let known = days.get(message);
  if (known === undefined) days.set(message, (known = dayOf(message.sentAt)));
  return known;
}

/** A line by the app: no bubble. */
export function isLine({ kind }: Pick<Message, 'kind'>): boolean {
  return kind === 'began' || kind === 'newDevice' || kind === 'timer';
}

/** Two neighbours belong to one run: same sender, same day, a few minutes apart, nothing missing between. */
function joined(a: Message, b: Message): boolean {
  return (
    a.from === b.from &&
    a.late === b.late &&
    !isLine(a) &&
    !isLine(b) &&
    b.missingBefore === 0 &&
    b.sentAt - a.sentAt < RUN_MS &&
    day(a) === day(b)
  );
}

function asMessage({ clientId, chat, text, sentAt, answers }: Sending, me: string, position: number): Message {
  return { id: clientId, chat, position, from: me, fromName: '', mine: true, kind: 'text', text, sentAt, state: 'queued', clientId, late: false, missingBefore: 0, askedFor: false, reply: answers === null ? null : quote(answers), editedAt: null, reactions: [], mayDelete: false, timerS: null, vanishesAt: null, media: null, format: [], typed: null, mentionsMe: false, pinned: false, poll: null, forwarded: null, card: null, place: null, introduction: null };
}

/** What core will quote of a message. */
function quote(message: Message): Quote {
  const { id, position, mine, fromName, kind, media } = message;
  return { id, found: { position, mine, fromName, kind, text: [...previewText(message)].slice(0, 160).join(''), media: media?.kind ?? null } };
}
