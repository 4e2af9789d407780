//! Everything the page knows, patched only by events, and the phase the whole page is in.
//!
//! In: the client's events. Out: the lists, the phase, and `call` for every feature.
//! Invariant: nothing here is invented by the page; after a break it is read again where core says so.

import { SvelteMap } from 'svelte/reactivity';
import type { Acceptance, Chat, Contact, Event, Invite, PublicInvite, Request, Settings, Status } from '../core/gen/api';
import { Client } from '../core/client';
import { faultOf, isScreenFault, type ScreenFault } from '../core/faults';
import type { Answer, Arguments, Method } from '../core/methods';
import type { OpenPipe } from '../core/pipe';
import { language, t } from '../i18n/index.svelte';
import { named } from '../view-models/small';
import { forget, inOrder, reduce, unfinished, type Lists } from './reduce';
import { theme } from './theme.svelte';

/** What fills the page. */
export type Phase =
  | { kind: 'starting' }
  | { kind: 'noAccess' }
  | { kind: 'fault'; fault: ScreenFault }
  | { kind: 'welcome' }
  | { kind: 'locked' }
  | { kind: 'wiped' }
  | { kind: 'ready' };

const CHATS_MAX = 1000;
/** How often the lists are read again because something came meanwhile. */
const RELOADS_MAX = 5;
const STATUS_PAUSE_MS = 120;

/** Hears events beside the lists: the open timeline. */
export interface Listener {
  event(event: Event): void;
  reload(): void;
}

class App implements Lists {
  phase = $state.raw<Phase>({ kind: 'starting' });
  status = $state.raw<Status | null>(null);
  settings = $state.raw<Settings>({ language: null, theme: null, readReceipts: true });
  /** The pipe to the daemon stands. */
  attached = $state(false);
  diskFull = $state(false);
  /** The page that dials for the daemon, where it has one: an origin of its own, in a hidden frame. */
  dialer = $state<string | null>(null);
  readonly chats = new SvelteMap<number, Chat>();
  readonly contacts = new SvelteMap<string, Contact>();
  readonly requests = new SvelteMap<string, Request>();
  readonly invites = new SvelteMap<string, Invite>();
  readonly publics = new SvelteMap<string, PublicInvite>();
  readonly acceptances = new SvelteMap<string, Acceptance>();

  readonly chatList: Chat[] = $derived(inOrder(this.chats.values()).map((chat) => named(chat, t)));
  readonly pendingAcceptances: Acceptance[] = $derived(unfinished(this.acceptances.values()));
  readonly unread: number = $derived(this.chatList.reduce((sum, chat) => sum + chat.unread, 0));

  #client: Client | null = null;
  #listeners = new Set<Listener>();
  #statusTimer: ReturnType<typeof setTimeout> | undefined;
  /** Events so far. */
  #heard = 0;

  /** Starts talking over a pipe. Called once. */
  start(open: OpenPipe): void {
    this.#client = new Client(open, {
      event: (event) => this.#event(event),
      attached: (reset) => void this.#attached(reset),
      detached: () => (this.attached = false),
      refused: () => (this.phase = { kind: 'noAccess' }),
    });
    void this.#client.start();
  }

  /** Calls a method; rejects with `CallError`. */
  call<M extends Method>(method: M, ...args: Arguments<M>): Promise<Answer<M>> {
    return this.#client!.call(method, ...args);
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads everything again. Errors end in a phase, not in an exception. */
  async load(): Promise<void> {
    try {
      const status = await this.call('status');
      this.status = status;
      if (status.locked) return this.#lock();
      if (status.me === null) {
        this.phase = { kind: 'welcome' };
        return;
      }
      await this.#loadLists();
      this.phase = { kind: 'ready' };
    } catch (error) {
      this.#loadFailed(error);
    }
  }

  /** Stores a setting and shows it at once. */
  async set(change: Partial<Settings>): Promise<void> {
    const settings = { ...this.settings, ...change };
    this.#useSettings(settings);
    await this.call('settings.set', settings);
  }

  /** What came while the lists were on their way may be missing in them: they are read again. */
  async #loadLists(): Promise<void> {
    let [before, lists] = [this.#heard, await this.#readLists()];
    for (let again = 0; this.#heard !== before && again < RELOADS_MAX; again += 1) [before, lists] = [this.#heard, await this.#readLists()];
    const [settings, chats, contacts, requests, invites, publics, acceptances] = lists;
    this.#useSettings(settings);
    replace(this.chats, chats, ({ id }) => id);
    replace(this.contacts, contacts, ({ id }) => id);
    replace(this.requests, requests, ({ id }) => id);
    replace(this.invites, invites, ({ id }) => id);
    replace(this.publics, publics, ({ id }) => id);
    replace(this.acceptances, acceptances, ({ id }) => id);
  }

  #readLists() {
    return Promise.all([
      this.call('settings.get'),
      this.call('chats', { limit: CHATS_MAX }),
      this.call('contacts'),
      this.call('requests'),
      this.call('invites'),
      this.call('publics'),
      this.call('acceptances'),
    ]);
  }

  #useSettings(settings: Settings): void {
    this.settings = settings;
    language.choose(settings.language ?? null);
    theme.choose(settings.theme ?? null);
  }

  async #attached(reset: boolean): Promise<void> {
    this.attached = true;
    void this.#openDialer();
    if (this.phase.kind === 'wiped') return; // it stays said until the page is opened anew
    if (!reset && this.phase.kind !== 'starting') return this.#readStatusSoon();
    await this.load();
    for (const listener of this.#listeners) listener.reload();
  }

  /** A ticket is good once: each time the pipe stands there is a new frame. */
  async #openDialer(): Promise<void> {
    try {
      this.dialer = (await this.call('dialer', {})).url;
    } catch {
      this.dialer = null;
    }
  }

  #event(event: Event): void {
    this.#heard += 1;
    const again = reduce(this, event);
    for (const listener of this.#listeners) listener.event(event);
    if (again === 'status') this.#readStatusSoon();
    if (again === 'locked') this.#lock();
    if (again === 'wiped') {
      forget(this);
      this.phase = { kind: 'wiped' };
    }
    if (again === 'everything') {
      void this.load().then(() => {
        for (const listener of this.#listeners) listener.reload();
      });
    }
  }

  #lock(): void {
    forget(this);
    this.phase = { kind: 'locked' };
  }

  #loadFailed(error: unknown): void {
    const fault = faultOf(error);
    if (fault === 'disconnected') return; // the client comes back by itself
    if (fault === 'locked') return this.#lock();
    if (fault === 'noAccount') {
      this.phase = { kind: 'welcome' };
      return;
    }
    this.phase = { kind: 'fault', fault: isScreenFault(fault) ? fault : 'internal' };
  }

  #readStatusSoon(): void {
    clearTimeout(this.#statusTimer);
    this.#statusTimer = setTimeout(() => void this.#readStatus(), STATUS_PAUSE_MS);
  }

  async #readStatus(): Promise<void> {
    try {
      const status = await this.call('status');
      const turned = (this.status?.me === null) !== (status.me === null) || this.status?.locked !== status.locked;
      this.status = status;
      // The account was made, or the profile opened or closed, in another window.
      if (turned && this.phase.kind !== 'welcome') await this.load();
      else if (turned && status.me !== null && !this.making) await this.load();
    } catch {
      // Asked again after the next event.
    }
  }

  /** The first screen is making the account in this very page and goes on by itself. */
  making = false;
}

function replace<K, V>(map: Map<K, V>, values: readonly V[], key: (value: V) => K): void {
  const kept = new Set(values.map(key));
  for (const old of [...map.keys()]) if (!kept.has(old)) map.delete(old);
  for (const value of values) map.set(key(value), value);
}

export const app = new App();
