//! The pipe to the daemon: launch token exchange, then a WebSocket whose first frame proves this page's session.
//!
//! In: the page's address. Out: an open pipe, or `refused` (open Stonechat again), or `gone` (try later).
//! The secret lives in sessionStorage, because cookies on 127.0.0.1 are shared with other ports.

import type { OpenPipe, Pipe, PipeEars, PipeEnd } from '../pipe';

const SECRET = 'stonechat.secret';
const REFUSED_CODE = 4401;

let token: string | undefined;

/** Takes the one-time token out of the address bar at once; it is kept here until the exchange has happened. */
function takeToken(): string | undefined {
  const found = /^#launch=(.+)$/.exec(location.hash)?.[1];
  if (found !== undefined) {
    history.replaceState(null, '', location.pathname);
    token = decodeURIComponent(found);
  }
  return token;
}

/** Exchanges the launch token for this page's session. False: there is no way in. */
async function launch(): Promise<boolean> {
  const fresh = takeToken();
  if (fresh === undefined) return sessionStorage.getItem(SECRET) !== null;
  const answer = await fetch('/launch', {
    method: 'POST',
    credentials: 'include',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: fresh }),
  });
  token = undefined;
  if (!answer.ok) return sessionStorage.getItem(SECRET) !== null; // a used link opened in a page that is still in
  const { secret } = (await answer.json()) as { secret: string };
  sessionStorage.setItem(SECRET, secret);
  return true;
}

/** Opens the pipe to the daemon that served this page. */
export const openSocket: OpenPipe = async (ears) => {
  let mayEnter: boolean;
  try {
    mayEnter = await launch();
  } catch {
    throw 'gone';
  }
  if (!mayEnter) throw 'refused';
  return await shakeHands(ears, sessionStorage.getItem(SECRET) ?? '');
};

function shakeHands(ears: PipeEars, secret: string): Promise<Pipe> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
    let open = false;
    socket.onopen = () => socket.send(JSON.stringify({ secret }));
    socket.onmessage = ({ data }) => {
      if (open) return ears.text(String(data));
      open = (JSON.parse(String(data)) as { ok?: boolean }).ok === true;
      if (open) resolve({ send: (text) => socket.send(text), close: () => socket.close() });
      else socket.close();
    };
    socket.onclose = ({ code }) => {
      const why = code === REFUSED_CODE ? 'refused' : 'gone';
      if (code === REFUSED_CODE) sessionStorage.removeItem(SECRET);
      if (open) ears.end(why);
      else if (why === 'refused') reject(why);
      else void probe().then(reject);
    };
  });
}

/** A failed upgrade has no status code in the page; a plain request to the same place does. */
async function probe(): Promise<PipeEnd> {
  try {
    const { status } = await fetch('/ws', { credentials: 'include' });
    return status === 401 || status === 403 ? 'refused' : 'gone';
  } catch {
    return 'gone';
  }
}
