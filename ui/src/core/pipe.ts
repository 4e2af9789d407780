//! A message pipe to whoever holds the profile: text frames each way, and an end.
//!
//! Carriers: `transports/ws` (the daemon), `transports/mock` (tests and `npm run dev:mock`).

/** Why a pipe is closed. */
export type PipeEnd = 'gone' | 'refused';

/** One open pipe. */
export interface Pipe {
  send(text: string): void;
  close(): void;
}

/** What the owner of a pipe hears. */
export interface PipeEars {
  text(text: string): void;
  end(why: PipeEnd): void;
}

/** Opens a pipe. Rejects with `refused` (no access: do not try again) or `gone` (try later). */
export type OpenPipe = (ears: PipeEars) => Promise<Pipe>;
