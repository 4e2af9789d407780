//! A whole daemon in memory, for tests and `npm run dev:mock`: same methods, same events, same faults.
//!
//! In: calls. Out: answers and events with a growing seq. What the other side would do is told by the test
//! (`peer...` methods), or happens by itself a moment later when `lively` is on.
//! Not in the ordinary build.

import type { Acceptance, AcceptanceState, Chat, Connection, Contact, Device, Event, Fault, FirstContact, Group, Hit, Invite, Linking, MediaFile, Message, MessageState, Piece, PublicInvite, Quote, Relay, Request, Restoring, Settings, Version } from '../../gen/api';
import { CallError, type UiFault } from '../../faults';
import { doorsOf, reachOf, routeOf, bytesOf } from '../../../view-models/routes';
import { marked } from './marks';
import type { Answer, Method, Params } from '../../methods';

export type Emit = (seq: number, event: Event) => void;

type Handlers = { [M in Exclude<Method, 'subscribe'>]: (params: Params<M>) => Answer<M> };

const DAY_MS = 86_400_000;
const SAFETY_CODE = `stone:vAQ${'Zm9v'.repeat(31)}`;
const WORDS24 = 'stone chat winter bridge lamp river quiet garden seven window paper bread cloud north ticket salt violin mirror forest kettle silver button harbour moss'.split(' ');

export class Backend {
  now: () => number = () => Date.now();
  me: { id: string; name: string } | null = null;
  settings: Settings = { language: null, theme: null, readReceipts: true };
  passphrase: string | null = null;
  locked = false;
  restored = false;
  restoring: Restoring | null = null;
  revoked = false;
  home = true;
  devices: Device[] = [];
  linking: Linking | null = null;
  connection: Connection = 'noRelay';
  relays: Relay[] = [];
  clockOffsetMs = 0;
  /** `status` fails with this: the daemon serves the page but has nothing behind it. */
  statusFault: UiFault | null = null;
  /** The next call of a method fails with this. */
  readonly failing = new Map<string, UiFault>();
  /** Where the next acceptance goes. */
  nextAcceptance: AcceptanceState = 'saved';
  nextInvite: Partial<Invite> = {};
  /** Messages travel by themselves. */
  lively = true;

  firstContact: FirstContact = { cameBy: 'invitation', looksLike: null, mixedLetters: false };
  readonly contacts = new Map<string, Contact>();
  readonly blocked = new Map<string, Contact>();
  readonly #putAway = new Map<number, Chat>();
  readonly chats = new Map<number, Chat>();
  readonly groups = new Map<number, Group>();
  readonly messages = new Map<number, Message[]>();
  readonly files = new Map<string, MediaFile>();
  /** Pictures of groups, base64, by chat. */
  readonly pictures = new Map<number, string>();
  readonly requests = new Map<string, Request>();
  readonly invites = new Map<string, Invite>();
  readonly publics = new Map<string, PublicInvite>();
  readonly acceptances = new Map<string, Acceptance>();

  #seq = 0;
  #serial = 0;
  #emit: Emit = () => undefined;

  get seq(): number {
    return this.#seq;
  }

  hear(emit: Emit): void {
    this.#emit = emit;
  }

  emit(event: Event): void {
    this.#seq += 1;
    this.#emit(this.#seq, event);
  }

  /** Answers a call or throws [`CallError`]. */
  call(method: string, params: unknown): unknown {
    const failing = this.failing.get(method);
    if (failing !== undefined) {
      this.failing.delete(method);
      throw new CallError(failing);
    }
    const handler = this.#handlers[method as keyof Handlers] as ((params: unknown) => unknown) | undefined;
    if (handler === undefined) throw new CallError('noMethod');
    if (this.locked && method !== 'status' && method !== 'unlock' && method !== 'wipe') throw new CallError('locked');
    return handler(params);
  }

  hex(length: number): string {
    this.#serial += 1;
    const seed = (this.#serial * 2654435761) >>> 0;
    return (seed.toString(16).padStart(8, '0') + this.#serial.toString(16)).padEnd(length, '5').slice(0, length);
  }

  // ---- what a test or a scenario arranges ----

  addContact(name: string, change: Partial<Chat & Contact> = {}): Chat {
    const id = change.contact ?? this.hex(64);
    const chat: Chat = {
      id: this.chats.size + 1, contact: id, own: false, group: null, name, verified: false, last: null, unread: 0, mentions: 0, pins: 0, firstUnread: null,
      waiting: false, comingBack: false, draft: null, activeAt: this.now(), heardAt: this.now(), timerS: null, alarms: [], isNew: false, ...pick(change, ['verified', 'waiting', 'draft', 'activeAt', 'heardAt']),
    };
    this.contacts.set(id, { id, name, ownName: change.ownName ?? name, verified: chat.verified, chat: chat.id, heardAt: chat.heardAt, blocked: false, introduced: [] });
    this.chats.set(chat.id, chat);
    this.messages.set(chat.id, []);
    return chat;
  }

  /** A group with these contacts; the first role is mine. */
  addGroup(name: string, members: readonly string[], role: Group['members'][number]['role'] = 'owner'): Chat {
    const chat: Chat = {
      id: this.chats.size + 1, contact: this.hex(32), own: false, group: { members: members.length + 1, member: true, behind: false, picture: null }, name, verified: false, last: null,
      unread: 0, mentions: 0, pins: 0, firstUnread: null, waiting: false, comingBack: false, draft: null, activeAt: this.now(), heardAt: null, timerS: null, alarms: [], isNew: false,
    };
    const mine = { account: this.me!.id, name: this.me!.name, role, me: true };
    const others = members.map((account) => ({ account, name: this.contacts.get(account)!.name, role: role === 'owner' ? ('member' as const) : ('owner' as const), me: false }));
    this.groups.set(chat.id, { chat: chat.id, name, description: '', picture: false, mayWrite: 'member', mayAdd: 'admin', mayEdit: 'admin', member: true, large: false, ownerHeardAt: this.now(), electors: [], consentsNeeded: 1, successions: [], members: role === 'owner' ? [mine, ...others] : [...others, mine] });
    this.chats.set(chat.id, chat);
    this.messages.set(chat.id, []);
    this.place(chat, '', { kind: 'began' });
    return chat;
  }

  /** What a group became, told as the daemon tells it. */
  #becomes(group: Group): Group {
    this.groups.set(group.chat, group);
    const chat = this.chats.get(group.chat)!;
    [chat.name, chat.group] = [group.name, { members: group.members.length, member: group.member, behind: false, picture: this.pictures.get(chat.id)?.slice(-16) ?? null }];
    this.emit({ kind: 'chatChanged', chat: { ...chat } });
    return group;
  }

  #inGroup(chat: number): Group {
    const group = this.#need(this.groups.get(chat));
    if (!group.member) throw new CallError('notMember');
    return group;
  }

  /** Puts a message into a chat without an event. */
  place(chat: Chat, text: string, change: Partial<Message> = {}): Message {
    const list = this.messages.get(chat.id)!;
    const mine = change.mine ?? false;
    const message: Message = {
      id: this.hex(32), chat: chat.id, position: (list.at(-1)?.position ?? 0) + 1, from: mine ? (this.me?.id ?? '') : chat.contact,
      fromName: mine ? (this.me?.name ?? '') : chat.name, mine, kind: 'text', text, sentAt: this.now(), state: mine ? 'read' : 'read',
      clientId: null, late: false, missingBefore: 0, askedFor: false, reply: null, editedAt: null, reactions: [], mayDelete: mine, timerS: chat.timerS, vanishesAt: null, media: null, format: [], typed: null, mentionsMe: false, pinned: false, poll: null, forwarded: null, card: null, place: null, introduction: null, ...change,
    };
    list.push(message);
    chat.last = message;
    chat.activeAt = message.sentAt;
    if (message.state === 'received') {
      if (message.mentionsMe) chat.mentions += 1;
      chat.unread += 1;
      chat.firstUnread ??= message.position;
    }
    return message;
  }

  /** A message of the other side arrives. */
  peerSays(chatId: number, text: string, change: Partial<Message> = {}): Message {
    const chat = this.chats.get(chatId)!;
    const message = this.place(chat, text, { state: 'received', ...change });
    chat.heardAt = this.now();
    this.emit({ kind: 'messageAdded', message });
    this.emit({ kind: 'chatChanged', chat: { ...chat } });
    return message;
  }

  /** A message of mine gets further. */
  reach(message: Message, state: MessageState): void {
    const list = this.messages.get(message.chat)!;
    const at = list.findIndex(({ id }) => id === message.id);
    const old = list[at];
    if (old === undefined) return;
    list[at] = { ...old, state };
    const chat = this.chats.get(message.chat)!;
    if (chat.last?.id === message.id) chat.last = list[at]!;
    this.emit({ kind: 'messageState', chat: message.chat, id: message.id, state });
  }

  /** What became of a message, told as the daemon tells it; whoever quotes it is told anew. */
  becomes(old: Message, change: Partial<Message>): Message {
    const list = this.messages.get(old.chat)!;
    const message = { ...old, ...change };
    list[list.findIndex(({ id }) => id === old.id)] = message;
    this.emit({ kind: 'messageChanged', message });
    for (const quoting of list.filter(({ reply }) => reply?.id === old.id)) this.becomes(quoting, { reply: this.#quote(message) });
    const chat = this.chats.get(old.chat)!;
    if (chat.last?.id === old.id) {
      chat.last = message;
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
    }
    return message;
  }

  #quote({ id, position, mine, fromName, kind, text, media }: Message): Quote {
    return { id, found: { position, mine, fromName, kind, text: [...text].slice(0, 160).join(''), media: media?.kind ?? null } };
  }

  /** A message that is here, by its id. */
  #message(id: string): Message {
    return this.#need([...this.messages.values()].flat().find((message) => message.id === id));
  }

  /** Earlier texts of a message, the one that is shown last. */
  readonly #histories = new Map<string, Version[]>();

  /** Somebody puts an emoji on a message, or takes it back. */
  reacts(id: string, emoji: string, on: boolean, name: string, mine: boolean): Message {
    const old = this.#message(id);
    const before = old.reactions.find((one) => one.emoji === emoji) ?? { emoji, count: 0, mine: false, names: [] };
    const names = on ? [...new Set([...before.names, name])] : before.names.filter((other) => other !== name);
    const after = { emoji, count: names.length, mine: mine ? on : before.mine, names };
    const others = old.reactions.filter((one) => one.emoji !== emoji);
    return this.becomes(old, { reactions: [...others, ...(names.length > 0 ? [after] : [])].sort((a, b) => b.count - a.count) });
  }

  /** The other side, or this one, writes another text. */
  edits(id: string, typed: string): Message {
    const old = this.#message(id);
    const says = marked(typed);
    const history = this.#histories.get(id) ?? [{ text: old.text, format: old.format, at: old.sentAt }];
    this.#histories.set(id, [...history, { text: says.text, format: says.format, at: this.now() }]);
    return this.becomes(old, { ...says, editedAt: this.now() });
  }

  /** A message is deleted for everybody. */
  deletes(id: string): Message {
    return this.becomes(this.#message(id), { kind: 'deleted', text: '', format: [], typed: null, poll: null, pinned: false, reactions: [], editedAt: null, reply: null, mayDelete: false });
  }

  /** The other side, or this one, sets a chat's timer. */
  setsTimer(chatId: number, seconds: number | null, mine: boolean): Message {
    const chat = this.chats.get(chatId)!;
    chat.timerS = seconds;
    const message = this.place(chat, '', { kind: 'timer', mine, mayDelete: false, timerS: seconds });
    this.emit({ kind: 'messageAdded', message });
    this.emit({ kind: 'chatChanged', chat: { ...chat } });
    return message;
  }

  /** A message is put on top of its chat, or taken off. */
  pins(id: string, on: boolean): Message {
    const message = this.becomes(this.#message(id), { pinned: on });
    const chat = this.chats.get(message.chat)!;
    chat.pins = this.messages.get(message.chat)!.filter(({ pinned }) => pinned).length;
    this.emit({ kind: 'chatChanged', chat: { ...chat } });
    return message;
  }

  /** Somebody says all that they choose. */
  votes(id: string, numbers: readonly number[], name: string, mine: boolean): Message {
    const message = this.#message(id);
    const poll = this.#need(message.poll);
    if (poll.closed) throw new CallError('pollClosed');
    const choices = poll.choices.map((choice, at) => {
      const names = [...choice.names.filter((other) => other !== name), ...(numbers.includes(at) ? [name] : [])];
      return { ...choice, names, count: names.length, mine: mine ? numbers.includes(at) : choice.mine };
    });
    return this.becomes(message, { poll: { ...poll, choices, voters: new Set(choices.flatMap((choice) => choice.names)).size } });
  }

  /** Something of mine is written and goes its way. */
  #written(chat: Chat, text: string, change: Partial<Message>): Message {
    const message = this.place(chat, text, { mine: true, state: 'queued', ...change });
    this.emit({ kind: 'messageAdded', message });
    this.emit({ kind: 'chatChanged', chat: { ...chat } });
    this.#travel(message);
    return message;
  }

  /** The time of a message is over. */
  vanishes(id: string): void {
    const old = this.#message(id);
    const left = this.messages.get(old.chat)!.filter((message) => message.id !== id);
    this.messages.set(old.chat, left);
    const chat = this.chats.get(old.chat)!;
    chat.last = left.at(-1) ?? null;
    this.emit({ kind: 'messageRemoved', chat: old.chat, id });
    this.emit({ kind: 'chatChanged', chat: { ...chat } });
  }

  setConnection(connection: Connection): void {
    this.connection = connection;
    for (const relay of this.relays) relay.connected = connection === 'connected';
    this.emit({ kind: 'connectionChanged', connection });
  }

  addRequest(name: string, change: Partial<Request> = {}): Request {
    const request: Request = { id: this.hex(32), invite: [...this.invites.keys()].at(-1) ?? '', name, account: this.hex(64), group: null, inPerson: false, receivedAt: this.now(), firstMessages: [], ...change };
    this.requests.set(request.id, request);
    this.emit({ kind: 'requestAdded', request });
    return request;
  }

  setAcceptance(id: string, state: AcceptanceState, name: string | null = null): Acceptance {
    const old = this.acceptances.get(id)!;
    const acceptance: Acceptance = { ...old, state, name: name ?? old.name };
    if (acceptance.chat === null && acceptance.name !== null && ['claimed', 'waiting', 'accepted'].includes(state)) {
      const chat = this.addContact(acceptance.name, { waiting: state !== 'accepted', heardAt: null });
      acceptance.chat = chat.id;
      this.emit({ kind: 'contactChanged', contact: this.contacts.get(chat.contact)! });
    }
    if (acceptance.chat !== null) {
      const chat = this.chats.get(acceptance.chat)!;
      chat.waiting = state === 'claimed' || state === 'waiting';
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
    }
    this.acceptances.set(id, acceptance);
    this.emit({ kind: 'acceptanceChanged', acceptance });
    return acceptance;
  }

  changeInvite(id: string, change: Partial<Invite>): void {
    const invite = { ...this.invites.get(id)!, ...change };
    this.invites.set(id, invite);
    this.emit({ kind: 'inviteChanged', invite });
  }

  /** As `addInvite` of the daemon, without an event. */
  makeInvite(who: Invite['who'], how: Invite['how'], change: Partial<Invite> = {}): Invite {
    const id = this.hex(32);
    const secret = btoa(`invitation ${id}`).replaceAll('=', '').replaceAll('+', '-').slice(0, 52);
    const invite: Invite = {
      id, who, how, link: `http://127.0.0.1:4180/q7Jx2mV0pLr3sT9w#${secret}`, code: `stone:i${btoa('127.0.0.1:4180').replaceAll('=', '')}${secret}`,
      spokenWords: how === 'spoken' ? 'lamp river quiet' : null, reach: 'thisComputer', state: 'open', createdAt: this.now(),
      expiresAt: this.now() + (who === 'family' ? 2 : 14) * DAY_MS, approved: 0, waiting: 0, usedTwice: false, group: null, ...change,
    };
    this.invites.set(id, invite);
    return invite;
  }

  changePublic(id: string, change: Partial<PublicInvite>): void {
    const invite = { ...this.publics.get(id)!, ...change };
    this.publics.set(id, invite);
    this.emit({ kind: 'publicChanged', invite });
  }

  /** A public invitation that gives these relays out in their order, without an event. */
  makePublic(addresses: readonly string[], days: number, pairs: number, change: Partial<PublicInvite> = {}): PublicInvite {
    const id = this.hex(32);
    const door = doorsOf(this.relays)[0]!.address;
    const secret = btoa(`everybody ${id}`).replaceAll('=', '').replaceAll('+', '-').slice(0, 52);
    const at = (day: number, one: number): string => addresses[(day * pairs * 2 + one) % addresses.length]!;
    const invite: PublicInvite = {
      id, link: `http://${door}/q7Jx2mV0pLr3sT9w#${secret}`, code: `stone:i${btoa(door).replaceAll('=', '')}${secret}`,
      reach: (['thisComputer', 'localNetwork', 'internet'] as const)[reachOf(door)]!, state: 'open', createdAt: this.now(), expiresAt: this.now() + days * DAY_MS,
      days: Array.from({ length: days }, (_, day) => Array.from({ length: pairs * 2 }, (_, one) => at(day, one))), ...change,
    };
    this.publics.set(id, invite);
    return invite;
  }

  #need<T>(value: T | undefined | null): T {
    if (value === undefined || value === null) throw new CallError('notFound');
    return value;
  }

  #later(ms: number, what: () => void): void {
    if (this.lively) setTimeout(what, ms);
  }

  #travel(message: Message): void {
    if (this.connection !== 'connected' || this.chats.get(message.chat)?.waiting === true) return;
    this.#later(150, () => this.reach(message, 'carried'));
    this.#later(500, () => this.reach(message, 'delivered'));
    this.#later(900, () => this.reach(message, 'read'));
  }

  readonly #handlers: Handlers = {
    status: () => {
      if (this.statusFault !== null) throw new CallError(this.statusFault);
      const queued = [...this.messages.values()].flat().filter(({ mine, state }) => mine && state === 'queued').length;
      const unread = [...this.chats.values()].reduce((sum, chat) => sum + chat.unread, 0);
      return {
        version: '0.1.0 (mock)', me: this.locked ? null : this.me, locked: this.locked, hasPassphrase: this.passphrase !== null,
        connection: this.connection, relays: this.relays.map((relay) => ({ ...relay })), clockOffsetMs: this.clockOffsetMs, queued,
        restored: this.restored, restoring: this.restoring, revoked: this.revoked, home: this.home, unread, requests: this.requests.size,
      };
    },
    init: ({ name, words }) => {
      if (this.me !== null) throw new CallError('accountExists');
      if (name.trim() === '' || [...name.trim()].length > 64) throw new CallError('badName');
      if (words != null && words.trim().split(/\s+/).length !== 24) throw new CallError('badWords');
      this.me = { id: this.hex(64), name: name.trim() };
      this.restored = words != null;
      this.emit({ kind: 'statusChanged' });
      return this.me;
    },
    restore: ({ words, door }) => {
      if (this.me !== null) throw new CallError('accountExists');
      if (words.trim().split(/\s+/).length !== 24) throw new CallError('badWords');
      if (!door.startsWith('stone:') && !door.startsWith('http')) throw new CallError('brokenLink');
      this.me = { id: this.hex(64), name: '' };
      this.restored = true;
      this.restoring = { state: 'looking', madeAt: null, leftOut: 0, people: 0, groups: 0 };
      this.emit({ kind: 'statusChanged' });
      return this.me;
    },
    'restore.giveUp': ({ name }) => {
      if (this.restoring === null || this.me === null) throw new CallError('notFound');
      this.me = { ...this.me, name };
      this.restoring = { ...this.restoring, state: 'givenUp' };
      this.emit({ kind: 'statusChanged' });
      return {};
    },
    devices: () => ({
      devices: this.devices.length > 0 || this.me === null ? this.devices : [{ id: 'd1'.repeat(8), name: '', this: true, home: this.home, addedAt: this.now() }],
      linking: this.linking,
    }),
    'device.link': () => {
      const expiresAt = this.now() + 3_600_000;
      this.linking = { state: 'open', link: 'stone:dAbCdEfGhIjKlMnOpQrStUvWxYz0123456789', expiresAt, name: null, wrong: 0, number: null };
      this.emit({ kind: 'statusChanged' });
      return { link: this.linking.link!, expiresAt };
    },
    'device.accept': ({ link, name }) => {
      if (!link.startsWith('stone:d')) throw new CallError('brokenDeviceLink');
      this.linking = { state: 'asking', link: null, expiresAt: null, name, wrong: 0, number: null };
      this.emit({ kind: 'statusChanged' });
      return {};
    },
    'device.confirm': ({ number }) => {
      const linking = this.#need(this.linking);
      this.linking = number === '123456' ? { ...linking, state: 'done', link: null } : { ...linking, wrong: linking.wrong + 1 };
      this.emit({ kind: 'statusChanged' });
      return {};
    },
    'device.remove': ({ id }) => {
      this.devices = this.devices.filter((device) => device.id !== id);
      this.emit({ kind: 'statusChanged' });
      return {};
    },
    words: () => ({ words: WORDS24, doors: ['stone:rAbCdEfGhIjKlMnOpQrStUvWx'] }),
    'invite.create': ({ who, how }) => {
      if (this.relays.length === 0) throw new CallError('noRelay');
      const invite = this.makeInvite(who, how, this.nextInvite);
      this.emit({ kind: 'inviteChanged', invite });
      return invite;
    },
    'group.link': ({ chat, approval, most, hours }) => {
      const { name } = this.#inGroup(chat);
      const expiresAt = this.now() + (hours ?? 168) * 3_600_000;
      const invite = this.makeInvite('group', 'plain', { expiresAt, group: { chat, name, most: most ?? 50, approval }, ...this.nextInvite });
      this.emit({ kind: 'inviteChanged', invite });
      return invite;
    },
    'invite.revoke': ({ id }) => {
      this.#need(this.invites.get(id));
      this.changeInvite(id, { state: 'revoked' });
      return {};
    },
    'public.create': ({ routes, days, aDay }) => {
      if (!this.home) throw new CallError('notHome');
      if (doorsOf(this.relays).length === 0) throw new CallError('noRelay');
      const dealt = new Map(routes.map((text) => routeOf(bytesOf(text.slice('stone:r'.length)) ?? new Uint8Array())).map((route) => [route?.relay, route?.address]));
      if (dealt.has(undefined)) throw new CallError('brokenRoute');
      const pairs = aDay ?? Math.ceil(Math.ceil(dealt.size / 2) / days);
      if (dealt.size < 4 || dealt.size > 64 || days < 1 || days > 60 || pairs < 1 || pairs * days > 256) throw new CallError('badParams');
      if ([...this.publics.values()].filter(({ state }) => state === 'open' || state === 'preparing').length >= 4) throw new CallError('tooMany');
      const invite = this.makePublic([...dealt.values()] as string[], days, pairs, { state: 'preparing' });
      this.emit({ kind: 'publicChanged', invite });
      if (this.connection === 'connected') this.#later(400, () => this.changePublic(invite.id, { state: 'open' }));
      return invite;
    },
    'public.revoke': ({ id }) => {
      this.#need(this.publics.get(id));
      this.changePublic(id, { state: 'revoked' });
      return {};
    },
    publics: () => [...this.publics.values()].reverse(),
    accept: ({ link, spokenWords }) => {
      if (/^stone:r/.test(link)) throw new CallError('routeNotInvite');
      if (!/^(stone:i|https?:\/\/[^#]+#).{8,}/.test(link)) throw new CallError('brokenLink');
      if ([...this.invites.values()].some((invite) => invite.link === link || invite.code === link)) throw new CallError('ownInvite');
      const acceptance: Acceptance = { id: this.hex(32), state: 'saved', name: null, chat: null, group: null, createdAt: this.now() };
      this.acceptances.set(acceptance.id, acceptance);
      if (this.relays.length === 0) this.relays.push({ address: '127.0.0.1:4180', own: false, connected: this.connection === 'connected', through: false, withholds: false, id: 'f'.repeat(32), private: false, answeredAt: null, fromPublic: false, dealtTo: [], ways: [], tried: [] });
      const next = this.nextAcceptance === 'needsWords' && spokenWords != null ? 'waiting' : this.nextAcceptance;
      this.emit({ kind: 'acceptanceChanged', acceptance });
      if (next !== 'saved') this.#later(250, () => this.setAcceptance(acceptance.id, next, ['doorSpent', 'cardWrong', 'dealt', 'noRoom'].includes(next) ? null : 'Лена'));
      return acceptance;
    },
    'accept.retry': ({ id }) => {
      this.#need(this.acceptances.get(id));
      this.#later(150, () => this.setAcceptance(id, 'waiting', 'Лена'));
      return {};
    },
    'accept.forget': ({ id }) => {
      this.#need(this.acceptances.get(id));
      this.acceptances.delete(id);
      return {};
    },
    approve: ({ id }) => {
      const request = this.#need(this.requests.get(id));
      this.requests.delete(id);
      const chat = this.addContact(request.name, { contact: request.account, verified: request.inPerson });
      for (const text of request.firstMessages) this.place(chat, text, { state: 'received' });
      const contact = this.contacts.get(chat.contact)!;
      this.emit({ kind: 'requestRemoved', id });
      this.emit({ kind: 'contactChanged', contact });
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
      return contact;
    },
    decline: ({ id }) => {
      this.#need(this.requests.get(id));
      this.requests.delete(id);
      this.emit({ kind: 'requestRemoved', id });
      return {};
    },
    send: ({ chat: chatId, text, marked: read, clientId, replyTo }) => {
      const chat = this.#need(this.chats.get(chatId));
      const body = text.trim();
      if (body === '' || new TextEncoder().encode(body).length > 16_384) throw new CallError('badText');
      const twin = this.messages.get(chatId)!.find((message) => clientId != null && message.clientId === clientId);
      if (twin !== undefined) return twin;
      const says = read === true ? marked(body) : {};
      const message = this.place(chat, body, { ...says, mine: true, state: 'queued', clientId: clientId ?? null, reply: replyTo == null ? null : this.#quote(this.#message(replyTo)) });
      this.emit({ kind: 'messageAdded', message });
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
      this.#travel(message);
      return message;
    },
    react: ({ id, emoji, on }) => {
      if (!new RegExp('^\\p{RGI_Emoji}$', 'v').test(emoji)) throw new CallError('badEmoji');
      const message = this.#message(id);
      if (on && message.reactions.filter(({ mine }) => mine).length >= 8) throw new CallError('tooManyReactions');
      return this.reacts(id, emoji, on, this.me!.name, true);
    },
    edit: ({ id, text }) => {
      if (!this.#message(id).mine) throw new CallError('notYours');
      if (text.trim() === '') throw new CallError('badText');
      return this.edits(id, text.trim());
    },
    delete: ({ id, everyone }) => {
      const message = this.#message(id);
      if (everyone && !message.mayDelete) throw new CallError('notYours');
      if (everyone) {
        this.deletes(id);
        return {};
      }
      const [list, chat] = [this.messages.get(message.chat)!, this.chats.get(message.chat)!];
      list.splice(list.indexOf(message), 1);
      chat.last = list.at(-1) ?? null;
      this.emit({ kind: 'messageRemoved', chat: chat.id, id });
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
      return {};
    },
    'media.send': ({ chat: id, kind, data, preview, text, clientId }) => {
      const chat = this.#need(this.chats.get(id));
      if (data.length > 262_144) throw new CallError('mediaTooBig');
      const media = { kind, durationMs: kind === 'voice' ? 3000 : null, width: kind === 'photo' ? 640 : null, height: kind === 'photo' ? 480 : null, preview: preview != null };
      const message = this.place(chat, text ?? '', { mine: true, state: 'queued', clientId: clientId ?? null, media });
      this.files.set(message.id, { kind, data });
      this.emit({ kind: 'messageAdded', message });
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
      this.#travel(message);
      return message;
    },
    'media.get': ({ id }) => this.#need(this.files.get(id)),
    'timer.set': ({ chat, seconds }) => {
      this.#need(this.chats.get(chat));
      this.setsTimer(chat, seconds, true);
      return {};
    },
    pin: ({ id, on }) => this.pins(id, on),
    pins: ({ chat }) => this.#need(this.messages.get(chat)).filter(({ pinned }) => pinned).reverse(),
    'poll.send': ({ chat: chatId, question, choices, several, clientId }) => {
      const chat = this.#need(this.chats.get(chatId));
      if (choices.length < 2) throw new CallError('badPoll');
      const poll = { several, closed: false, voters: 0, choices: choices.map((text) => ({ text, count: 0, mine: false, names: [] })) };
      return this.#written(chat, question, { clientId: clientId ?? null, poll });
    },
    'poll.vote': ({ id, choices }) => this.votes(id, choices, this.me!.name, true),
    'poll.close': ({ id }) => {
      const message = this.#message(id);
      return this.becomes(message, { poll: { ...this.#need(message.poll), closed: true } });
    },
    forward: ({ id, chat: chatId, named, clientId }) => {
      const { text, format, typed, media, fromName } = this.#message(id);
      const chat = this.#need(this.chats.get(chatId));
      return this.#written(chat, text, { format, typed, media, clientId: clientId ?? null, forwarded: { name: named ? fromName : null } });
    },
    typing: () => ({}),
    'saved.open': () => {
      const known = [...this.chats.values()].find(({ own }) => own);
      if (known !== undefined) return { chat: known.id };
      const chat: Chat = {
        id: this.chats.size + 1, contact: this.me!.id, own: true, group: null, name: '', verified: false, last: null, unread: 0, mentions: 0, pins: 0,
        firstUnread: null, waiting: false, comingBack: false, draft: null, activeAt: this.now(), heardAt: null, timerS: null, alarms: [], isNew: false,
      };
      this.chats.set(chat.id, chat);
      this.messages.set(chat.id, []);
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
      return { chat: chat.id };
    },
    'group.create': ({ name, members = [], large = false }) => {
      if (name.trim() === '') throw new CallError('badName');
      const chat = this.addGroup(name.trim(), members);
      this.groups.set(chat.id, { ...this.groups.get(chat.id)!, large });
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
      return this.groups.get(chat.id)!;
    },
    'group.add': ({ chat, members }) => {
      const group = this.#inGroup(chat);
      if (members.some((account) => group.members.some((member) => member.account === account))) throw new CallError('memberAlready');
      const added = members.map((account) => ({ account, name: this.#need(this.contacts.get(account)).name, role: 'member' as const, me: false }));
      return this.#becomes({ ...group, members: [...group.members, ...added] });
    },
    'group.remove': ({ chat, members }) => {
      const group = this.#inGroup(chat);
      return this.#becomes({ ...group, members: group.members.filter(({ account }) => !members.includes(account)) });
    },
    'group.leave': ({ chat }) => {
      const group = this.#inGroup(chat);
      return this.#becomes({ ...group, member: false, members: group.members.filter(({ me }) => !me) });
    },
    'group.role': ({ chat, member, role }) => {
      const group = this.#inGroup(chat);
      return this.#becomes({ ...group, members: group.members.map((one) => (one.account === member ? { ...one, role } : one)) });
    },
    'group.consent': ({ chat, member }) => {
      const group = this.#inGroup(chat);
      const before = group.successions.find(({ account }) => account === member)?.agreed ?? 0;
      const others = group.successions.filter(({ account }) => account !== member);
      return this.#becomes({ ...group, successions: [...others, { account: member, agreed: before + 1, mine: true }] });
    },
    'group.edit': ({ chat, ...change }) => {
      const group = this.#inGroup(chat);
      if (change.name?.trim() === '') throw new CallError('badName');
      const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value != null)) as Partial<Group>;
      return this.#becomes({ ...group, ...given });
    },
    'group.picture.set': ({ chat, data }) => {
      const group = this.#inGroup(chat);
      if (data == null) this.pictures.delete(chat);
      else this.pictures.set(chat, data);
      return this.#becomes({ ...group, picture: data != null });
    },
    'group.picture.get': ({ chat }) => ({ kind: 'photo', data: this.#need(this.pictures.get(chat)) }),
    group: ({ chat }) => this.#need(this.groups.get(chat)),
    markRead: ({ chat: chatId, position }) => {
      const chat = this.#need(this.chats.get(chatId));
      const list = this.messages.get(chatId)!;
      list.forEach((message, at) => {
        if (message.state === 'received' && message.position <= position) list[at] = { ...message, state: 'read' };
      });
      const unread = list.filter(({ state }) => state === 'received');
      chat.unread = unread.length;
      chat.firstUnread = unread[0]?.position ?? null;
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
      return {};
    },
    verify: ({ id, verified, code }) => {
      if (code !== undefined && code !== null && code !== SAFETY_CODE) throw new CallError(code.startsWith('stone:v') ? 'numbersDiffer' : 'noSafetyCode');
      const contact = { ...this.#need(this.contacts.get(id)), verified };
      this.#setContact(contact);
      return {};
    },
    'contact.rename': ({ id, name }) => {
      const contact = this.#need(this.contacts.get(id));
      if ([...name].length > 64) throw new CallError('badName');
      this.#setContact({ ...contact, name: name.trim() === '' ? contact.ownName : name.trim() });
      return {};
    },
    'card.send': ({ chat, contact, clientId }) => {
      const { id, name } = this.#need(this.contacts.get(contact));
      return this.#written(this.#need(this.chats.get(chat)), '', { clientId: clientId ?? null, card: { account: id, name, chat: this.contacts.get(id)!.chat, me: false } });
    },
    'place.send': ({ chat, place, clientId }) => this.#written(this.#need(this.chats.get(chat)), '', { clientId: clientId ?? null, place }),
    introduce: ({ one, other }) => {
      for (const [asked, about] of [[one, other], [other, one]] as const) {
        const [to, who] = [this.#need(this.contacts.get(asked)), this.#need(this.contacts.get(about))];
        this.#written(this.#need(this.chats.get(to.chat!)), who.name, { kind: 'introduction', introduction: { account: who.id, name: who.ownName, state: 'asked', vouches: [] } });
      }
      return {};
    },
    'introduction.answer': ({ id, yes }) => {
      const message = this.#need([...this.messages.values()].flat().find((one) => one.id === id && one.introduction !== null));
      message.introduction = { ...message.introduction!, state: yes ? 'agreed' : 'declined' };
      this.emit({ kind: 'messageChanged', message: { ...message } });
      return {};
    },
    introductions: () => [...this.messages.values()].flat().filter((one) => !one.mine && one.introduction?.state === 'asked'),
    firstContact: ({ id }) => ({ ...this.firstContact, cameBy: this.#need(this.contacts.get(id)).introduced.length > 0 ? 'introduction' : this.firstContact.cameBy }),
    'contact.noticed': ({ id }) => {
      const chat = this.#need([...this.chats.values()].find((one) => one.contact === id));
      chat.isNew = false;
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
      return {};
    },
    'contact.block': ({ id, blocked }) => {
      const contact = { ...this.#need(this.contacts.get(id) ?? this.blocked.get(id)), blocked };
      const [from, to] = blocked ? [this.contacts, this.blocked] : [this.blocked, this.contacts];
      from.delete(id);
      to.set(id, contact);
      const chat = contact.chat!;
      if (blocked) {
        this.#putAway.set(chat, this.chats.get(chat)!);
        this.chats.delete(chat);
        this.emit({ kind: 'chatRemoved', chat });
      } else {
        this.chats.set(chat, this.#putAway.get(chat)!);
        this.emit({ kind: 'chatChanged', chat: { ...this.chats.get(chat)! } });
      }
      this.emit({ kind: 'contactChanged', contact });
      return {};
    },
    'bundle.export': ({ from }) => ({ data: btoa('\u0002\0\0\0\u0001x'), items: 1, next: from == null ? { stage: 3, after: 1 } : null }),
    'bundle.import': () => ({ taken: 1, known: 0, others: 0 }),
    'relay.remove': ({ id }) => {
      const at = this.relays.findIndex((relay) => relay.id === id && relay.own);
      if (at < 0) throw new CallError('notFound');
      this.relays.splice(at, 1);
      this.emit({ kind: 'statusChanged' });
      return {};
    },
    'relay.forgetWay': ({ id, address }) => {
      const relay = this.#need(this.relays.find((relay) => relay.id === id));
      const at = relay.ways.findIndex((way) => way.address === address);
      if (at < 0) throw new CallError('notFound');
      relay.ways.splice(at, 1);
      this.emit({ kind: 'statusChanged' });
      return {};
    },
    'relay.add': ({ route, private: isPrivate }) => {
      if (/^(stone:i|https?:)/.test(route)) throw new CallError('inviteNotRoute');
      const drop = /^(dav|imap)s?:\/\/[^@]+@(.{3,})$/.exec(route);
      if (drop === null && !/^stone:r.{8,}/.test(route)) throw new CallError('brokenRoute');
      this.relays.push({
        id: `${this.relays.length}`.padStart(32, '0'), address: drop?.[2] ?? '192.0.2.7:4180', own: true, connected: false, through: false, withholds: false,
        private: isPrivate ?? false, answeredAt: null, fromPublic: false, dealtTo: [], ways: [], tried: [],
      });
      this.emit({ kind: 'statusChanged' });
      this.setConnection('connecting');
      this.#later(300, () => this.setConnection('connected'));
      return {};
    },
    'profile.rename': ({ name }) => {
      if (name.trim() === '' || [...name.trim()].length > 64) throw new CallError('badName');
      this.me = { ...this.me!, name: name.trim() };
      this.emit({ kind: 'statusChanged' });
      return {};
    },
    'settings.set': (settings) => {
      if (this.me === null) throw new CallError('noAccount');
      this.settings = settings;
      return {};
    },
    'draft.set': ({ chat: chatId, text }) => {
      const chat = this.#need(this.chats.get(chatId));
      chat.draft = text === '' ? null : text;
      this.emit({ kind: 'chatChanged', chat: { ...chat } });
      return {};
    },
    'draft.get': ({ chat }) => ({ text: this.#need(this.chats.get(chat)).draft ?? '' }),
    'settings.get': () => this.settings,
    invites: () => [...this.invites.values()].reverse(),
    acceptances: () => [...this.acceptances.values()],
    requests: () => [...this.requests.values()],
    blocked: () => [...this.blocked.values()],
    contacts: () => [...this.contacts.values()],
    chats: ({ limit, offset = 0 }) => [...this.chats.values()].sort((a, b) => b.activeAt - a.activeAt).slice(offset, offset + limit).map((chat) => ({ ...chat })),
    messages: ({ chat, limit, before, after, around }) => {
      const all = this.#need(this.messages.get(chat));
      const at = (position: number): number => {
        const found = all.findIndex((message) => message.position >= position);
        return found < 0 ? all.length : found;
      };
      let from = Math.max(0, all.length - limit);
      let to = all.length;
      if (before != null) [from, to] = [Math.max(0, at(before) - limit), at(before)];
      else if (after != null) [from, to] = [at(after + 1), at(after + 1) + limit];
      else if (around != null) [from, to] = [Math.max(0, at(around) - Math.floor(limit / 2)), at(around) + Math.ceil(limit / 2)];
      const messages = all.slice(from, to);
      return { messages, moreBefore: from > 0, moreAfter: to < all.length, total: all.length, index: from };
    },
    message: ({ id }) => this.#need([...this.messages.values()].flat().find((message) => message.id === id)),
    history: ({ id }) => this.#histories.get(id) ?? [{ text: this.#message(id).text, format: [], at: this.#message(id).sentAt }],
    search: ({ words, chat, limit }) => {
      const wanted = words.toLocaleLowerCase().split(/\s+/).filter((word) => word !== '');
      if (wanted.length === 0) return [];
      const hits: Hit[] = [];
      for (const message of [...this.messages.values()].flat().sort((a, b) => b.sentAt - a.sentAt)) {
        if (chat != null && message.chat !== chat) continue;
        if (!wanted.every((word) => message.text.toLocaleLowerCase().includes(word))) continue;
        hits.push({ message, chatName: this.chats.get(message.chat)!.name, pieces: pieces(message.text, wanted) });
        if (hits.length === limit) break;
      }
      return hits;
    },
    safetyNumber: ({ id }) => ({ groups: Array.from({ length: 12 }, (_, at) => String((at * 7919 + 10_403) % 100_000).padStart(5, '0')), words: ['stone', 'chat', 'winter', 'bridge', 'lamp', 'river', 'quiet', 'garden'], code: SAFETY_CODE, verified: this.#need(this.contacts.get(id)).verified }),
    'passphrase.set': ({ old, new: fresh }) => {
      if (this.passphrase !== null && old !== this.passphrase) throw new CallError('wrongPassphrase');
      this.passphrase = fresh ?? null;
      this.emit({ kind: 'statusChanged' });
      return {};
    },
    dialer: () => {
      throw new CallError('noMethod');
    },
    lock: () => {
      this.locked = true;
      this.emit({ kind: 'locked' });
      return {};
    },
    unlock: ({ passphrase }) => {
      if (passphrase !== this.passphrase) throw new CallError('wrongPassphrase');
      this.locked = false;
      this.emit({ kind: 'unlocked' });
      return {};
    },
    wipe: () => {
      this.me = null;
      for (const map of [this.contacts, this.chats, this.messages, this.requests, this.invites, this.publics, this.acceptances]) map.clear();
      this.emit({ kind: 'wiped' });
      return {};
    },
  };

  #setContact(contact: Contact): void {
    this.contacts.set(contact.id, contact);
    this.emit({ kind: 'contactChanged', contact });
    const chat = contact.chat === null ? undefined : this.chats.get(contact.chat);
    if (chat === undefined) return;
    chat.name = contact.name;
    chat.verified = contact.verified;
    this.emit({ kind: 'chatChanged', chat: { ...chat } });
  }
}

export type { Fault };

function pick<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Partial<Pick<T, K>> {
  return Object.fromEntries(keys.filter((key) => from[key] !== undefined).map((key) => [key, from[key]])) as Partial<Pick<T, K>>;
}

/** Cuts a text around the first match and marks the matches. */
function pieces(text: string, wanted: readonly string[]): Piece[] {
  const low = text.toLocaleLowerCase();
  const start = Math.max(0, low.indexOf(wanted[0]!) - 30);
  const out: Piece[] = start > 0 ? [{ text: '…', marked: false }] : [];
  let at = start;
  while (at < Math.min(text.length, start + 140)) {
    const next = wanted.map((word) => ({ word, found: low.indexOf(word, at) })).filter(({ found }) => found >= 0).sort((a, b) => a.found - b.found)[0];
    if (next === undefined) break;
    if (next.found > at) out.push({ text: text.slice(at, next.found), marked: false });
    out.push({ text: text.slice(next.found, next.found + next.word.length), marked: true });
    at = next.found + next.word.length;
  }
  if (at < text.length) out.push({ text: text.slice(at, start + 160), marked: false });
  return out;
}
