// The dialer's page: it opens WebSockets where the daemon says, and passes binary messages on, both ways.
//
// In and out: messages on the daemon's local socket, kind 1 | line 4 | bytes (docs/protocol/21-dialer.md). It has no timer,
// for those of a page in the background are slowed down, and what comes on a socket is not.
'use strict';
{
  const [OPEN, DATA, CLOSE, LEFT, LET_GO] = [1, 2, 3, 4, 5];
  const HEAD_BYTES = 5;
  const MESSAGE_BYTES_MAX = 1 << 20;
  // So much may wait for the daemon; a line that brings more is closed.
  const UNTAKEN_BYTES_MAX = 4 << 20;
  const LINES_MAX = 16;
  // So many that were let go may wait for their relays to close them.
  const LET_GO_MAX = 32;

  const ticket = location.hash.slice(1);
  const daemon = new WebSocket(`ws://${location.host}/socket`);
  const lines = new Map();
  const letGo = new Set();

  const say = (kind, line, bytes = new ArrayBuffer(0)) => {
    const message = new Uint8Array(HEAD_BYTES + bytes.byteLength);
    const head = new DataView(message.buffer);
    head.setUint8(0, kind);
    head.setUint32(1, line);
    message.set(new Uint8Array(bytes), HEAD_BYTES);
    daemon.send(message);
  };

  const close = (line) => {
    const socket = lines.get(line);
    lines.delete(line);
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  };

  const lose = (line) => {
    close(line);
    say(CLOSE, line);
  };

  const open = (line, address) => {
    let socket;
    try {
      if (!address.startsWith('wss://') || lines.size >= LINES_MAX) throw new Error('not dialled');
      socket = new WebSocket(address);
    } catch {
      say(CLOSE, line);
      return;
    }
    lines.set(line, socket);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => say(OPEN, line);
    socket.onclose = () => lose(line);
    socket.onmessage = ({ data }) => {
      const fits = data instanceof ArrayBuffer && data.byteLength <= MESSAGE_BYTES_MAX;
      if (fits && daemon.bufferedAmount <= UNTAKEN_BYTES_MAX) say(DATA, line, data);
      else lose(line);
    };
  };

  // A goodbye would end the session that another connection carries now: its relay closes this one.
  const forget = (line) => {
    const socket = lines.get(line);
    lines.delete(line);
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = null;
    socket.onclose = () => letGo.delete(socket);
    letGo.add(socket);
    if (letGo.size > LET_GO_MAX) letGo.values().next().value.close();
  };

  daemon.binaryType = 'arraybuffer';
  daemon.onopen = () => daemon.send(ticket);
  daemon.onmessage = ({ data }) => {
    const head = new DataView(data);
    const [kind, line, rest] = [head.getUint8(0), head.getUint32(1), data.slice(HEAD_BYTES)];
    const socket = lines.get(line);
    if (kind === OPEN) open(line, new TextDecoder().decode(rest));
    else if (kind === CLOSE) close(line);
    else if (kind === LET_GO) forget(line);
    else if (socket === undefined || socket.readyState !== WebSocket.OPEN) return;
    else if (kind === DATA) socket.send(rest);
    else if (kind === LEFT) {
      const left = new DataView(new ArrayBuffer(4));
      left.setUint32(0, Math.min(socket.bufferedAmount, 0xffffffff));
      say(LEFT, line, left.buffer);
    }
  };
  daemon.onclose = () => {
    for (const line of [...lines.keys()]) close(line);
    for (const socket of letGo) socket.close();
  };
}
