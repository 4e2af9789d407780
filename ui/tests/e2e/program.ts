//! One process of ours in the tests of the real program: what it says, and its end by its own id.

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

/** The program. */
export const BIN = process.env.STONECHAT_BIN ?? '';
const START_MS = 20_000;

/** What only a build with the feature `lab` heeds, as the one of the tests is: a wrong clock, a small disk. */
export type Trouble = { STONECHAT_LAB_CLOCK_MS?: string; STONECHAT_LAB_PAGES?: string };

/** Whose certificates it believes. */
export type Trust = { SSL_CERT_FILE?: string };

/** One process of ours, ended by its own id. */
export class Program {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #heard: (() => void) | null = null;

  constructor(args: string[], home: string, more: Trouble & Trust = {}) {
    this.#child = spawn(BIN, args, { env: { PATH: process.env.PATH, HOME: home, STONECHAT_HOME: home, ...more }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.#lines.push(line);
        this.#heard?.();
      });
    }
  }

  /** Waits for a line that begins so, and answers its rest. */
  async says(prefix: string): Promise<string> {
    const found = (): string | undefined => this.#lines.find((line) => line.startsWith(prefix))?.slice(prefix.length).trim();
    const until = Date.now() + START_MS;
    while (found() === undefined) {
      const left = until - Date.now();
      if (left <= 0 || this.#child.exitCode !== null) throw new Error(`no line "${prefix}" from ${this.#child.spawnargs.join(' ')}:\n${this.#lines.join('\n')}`);
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
        setTimeout(resolve, Math.min(left, 200));
      });
    }
    return found()!;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await gone;
    clearTimeout(late);
  }
}
