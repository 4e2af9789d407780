//! The browser as dialer, with the real program: a relay inside TLS, and in front of it somebody who resets whatever does not
//! begin TLS as a Chromium does. A text still arrives, over this very browser.

import { test as base, expect, type Frame, type Page } from '@playwright/test';
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { connect as connectTls } from 'node:tls';
import { join } from 'node:path';
import { en } from '../../src/i18n/en';
import { BIN, Program } from './program';

/** An authority of this run, and its certificate for `localhost`. */
const folder = mkdtempSync(join(tmpdir(), 'stonechat-dialer-'));
const authority = join(folder, 'authority.pem');
const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
const openssl = (...words: string[]): Buffer => execFileSync('openssl', words, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
openssl('req', '-x509', ...EC, '-keyout', 'authority.key', '-out', authority, '-subj', '/CN=Authority of a test', '-days', '2');
openssl('req', ...EC, '-keyout', key, '-out', 'request.pem', '-subj', '/CN=localhost');
writeFileSync(join(folder, 'names'), 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n');
openssl('x509', '-req', '-in', 'request.pem', '-CA', authority, '-CAkey', 'authority.key', '-CAcreateserial', '-days', '2', '-extfile', 'names', '-out', cert);
const spki = new X509Certificate(readFileSync(cert)).publicKey.export({ type: 'spki', format: 'der' });
const believed = createHash('sha256').update(spki).digest('base64');

/** Passes everything on, until it is told to reset what is not a Chromium. */
class Front {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  to = 0;
  isStrict = false;
  readonly passed = { browser: 0, others: 0 };
  reset = 0;

  constructor() {
    this.#server = createServer((socket) => this.#came(socket));
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  /** Another program than a Chromium begins TLS here. Out: whether it is reset. */
  async resetsOthers(): Promise<boolean> {
    const before = this.reset;
    const port = (this.#server.address() as AddressInfo).port;
    await new Promise<void>((resolve) => {
      const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false }, () => socket.end());
      socket.on('error', () => {}).on('close', () => resolve());
    });
    return this.reset > before;
  }

  /** All connections break off. */
  cut(): void {
    for (const socket of this.#open) socket.resetAndDestroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #came(socket: Socket): void {
    this.#open.add(socket);
    socket.on('close', () => this.#open.delete(socket)).on('error', () => {});
    socket.once('data', (hello) => {
      const isBrowser = startsAsChromium(Buffer.from(hello));
      if (this.isStrict && !isBrowser) {
        this.reset += 1;
        socket.resetAndDestroy();
        return;
      }
      this.passed[isBrowser ? 'browser' : 'others'] += 1;
      const relay = connect(this.to, '127.0.0.1');
      relay.on('error', () => socket.destroy()).on('close', () => socket.destroy());
      socket.on('close', () => relay.destroy());
      relay.write(hello);
      socket.pipe(relay).pipe(socket);
    });
  }
}

/** A Chromium's first cipher suite is one that means nothing (GREASE): ?A?A, both bytes alike. rustls says none such. */
function startsAsChromium(hello: Buffer): boolean {
  const session = hello[43] ?? 0;
  const [high, low] = [hello[44 + session + 2], hello[44 + session + 3]];
  return hello[0] === 22 && high === low && (high! & 0x0f) === 0x0a;
}

const test = base.extend<{ front: Front; route: string; daemon: (name: string, ...more: string[]) => Promise<string> }>({
  launchOptions: async ({ launchOptions }, use) => use({ ...launchOptions, args: [`--ignore-certificate-errors-spki-list=${believed}`] }),
  front: async ({}, use) => {
    const front = new Front();
    await use(front);
    front.close();
  },
  route: async ({ front }, use) => {
    expect(existsSync(BIN), `STONECHAT_BIN names the program: ${BIN}`).toBe(true);
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    front.to = (free.address() as AddressInfo).port;
    await new Promise((resolve) => free.close(resolve));
    const place = `localhost:${await front.listen()}`;
    const home = mkdtempSync(join(folder, 'relay-'));
    const relay = new Program(['relay', '--listen', `127.0.0.1:${front.to}`, '--data', home, '--public', place, '--cert', cert, '--key', key], home);
    await use(await relay.says('route: '));
    await relay.end();
  },
  daemon: async ({}, use) => {
    const running: Program[] = [];
    await use(async (name, ...more) => {
      const home = mkdtempSync(join(folder, `${name}-`));
      const program = new Program(['--home', home, 'serve', '--port', '0', '--no-near', ...more], home, { SSL_CERT_FILE: authority });
      running.push(program);
      return program.says('ui: ');
    });
    for (const program of running) await program.end();
  },
});

test.afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function begin(page: Page): Promise<void> {
  await page.getByLabel(en.start.nameLabel).fill('Somebody');
  await page.getByRole('button', { name: en.start.go }).click();
}

/** The name a frame has gone to; nothing before it has gone anywhere. */
const nameOf = (frame: Frame): string => (frame.url() === '' ? '' : new URL(frame.url()).hostname);

/** The dialer's frame. */
async function dialerOf(page: Page): Promise<Frame> {
  await expect.poll(() => page.frames().slice(1).map(nameOf), { timeout: 20_000 }).toEqual(['dialer.localhost']);
  return page.frames()[1]!;
}

test('where only a browser is let through, a text goes over one (DIAL-1)', async ({ browser, front, route, daemon }) => {
  const ana = await (await browser.newContext({ locale: 'en-GB' })).newPage();
  const bo = await (await browser.newContext({ locale: 'en-GB' })).newPage();
  const dialled: string[] = [];
  for (const page of [ana, bo]) page.on('websocket', (socket) => dialled.push(new URL(socket.url()).protocol));

  await ana.goto(await daemon('ana', '--relay', route));
  await ana.getByRole('button', { name: en.start.without }).click();
  await begin(ana);
  await expect(ana.locator('button.line')).toContainText(en.connection.connected.line, { timeout: 15_000 });
  await ana.getByRole('button', { name: en.chats.invite }).first().click();
  await ana.locator('input[value=one]').check();
  await ana.locator('input[value=plain]').check();
  await ana.getByRole('button', { name: en.invite.make }).click();
  await expect(ana.getByText(en.invite.state.preparing.body)).toHaveCount(0, { timeout: 15_000 });
  const link = await ana.getByLabel(en.invite.link).inputValue();
  await bo.goto(await daemon('bo'));
  await bo.getByRole('button', { name: en.start.haveInvitation }).click();
  await bo.getByLabel(en.invitation.label).fill(link);
  await bo.getByRole('button', { name: en.app.continue }).click();
  await begin(bo);
  await bo.locator('textarea').fill('over our own TLS');
  await bo.getByRole('button', { name: en.chat.send, exact: true }).click();
  await ana.locator('.chat').first().click({ timeout: 20_000 });
  await expect(ana.getByRole('article', { name: /over our own TLS/ })).toBeVisible({ timeout: 20_000 });

  await test.step('rustls is shut out, and all connections are cut', async () => {
    front.isStrict = true;
    expect(await front.resetsOthers(), 'only a Chromium is let through').toBe(true);
    front.cut();
    await ana.locator('textarea').fill('over the browser');
    await ana.getByRole('button', { name: en.chat.send, exact: true }).click();
    await expect(bo.getByRole('article', { name: /over the browser/ })).toBeVisible({ timeout: 30_000 });
    await bo.locator('textarea').fill('and back');
    await bo.getByRole('button', { name: en.chat.send, exact: true }).click();
    await expect(ana.getByRole('article', { name: /and back/ })).toBeVisible({ timeout: 30_000 });
    expect(front.passed.browser, 'each of them dials by the browser').toBeGreaterThanOrEqual(2);
    expect(dialled.filter((protocol) => protocol === 'wss:').length).toBeGreaterThanOrEqual(2);
  });
});

test('the dialer page has no origin, no storage, no cookie, and reaches nothing of the interface (DIAL-3)', async ({ browser, daemon }) => {
  const page = await (await browser.newContext({ locale: 'en-GB' })).newPage();
  const url = await daemon('ana');
  await page.goto(url);
  await expect(page.getByRole('button', { name: en.start.without })).toBeVisible();
  const frame = await dialerOf(page);
  expect(new URL(frame.url()).host).toBe(`dialer.localhost:${new URL(url).port}`);
  const reach = async (address: string): Promise<string> => {
    try {
      await fetch(address);
      return 'reached';
    } catch {
      return 'refused';
    }
  };
  const seen = await frame.evaluate(() => {
    const refused = (look: () => unknown): boolean => {
      try {
        look();
        return false;
      } catch {
        return true;
      }
    };
    return {
      origin: window.origin,
      storage: refused(() => localStorage.length) && refused(() => sessionStorage.length),
      cookies: refused(() => document.cookie),
      parent: refused(() => parent.document),
    };
  });
  expect(seen).toEqual({ origin: 'null', storage: true, cookies: true, parent: true });
  const violated = await frame.evaluate(() => new Promise((resolve) => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective }) => resolve(violatedDirective));
    new WebSocket('ws://127.0.0.1:1/');
    setTimeout(() => resolve('nothing'), 2_000);
  }));
  expect(violated, 'what is plain is not dialled').toBe('connect-src');
  for (const address of [new URL('/', url).href, `http://${new URL(frame.url()).host}/`]) expect(await frame.evaluate(reach, address)).toBe('refused');
});
