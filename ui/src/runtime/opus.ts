//! Voice notes from WebM, as Chromium records them, into Ogg, as they are sent. The sound itself is not touched.
//!
//! In: a WebM file with one Opus track. Out: an Ogg file (RFC 7845). Core checks it again.

const CONTAINERS = new Set([0x18538067, 0x1654ae6b, 0xae, 0x1f43b675, 0xa0]);
const CODEC_PRIVATE = 0x63a2;
const BLOCKS = new Set([0xa3, 0xa1]);
const PACKETS_A_PAGE = 25;
const SERIAL = 0x73746f6e;

/** An Ogg file with the Opus packets of a WebM file. Null: there is none in it. */
export function oggOf(webm: Uint8Array): Uint8Array<ArrayBuffer> | null {
  const { head, packets } = opened(webm);
  if (head === null || packets.length === 0) return null;
  const pages = [page(2, 0, 0, [head]), page(0, 1, 0, [tags()])];
  let samples = 0;
  for (let at = 0; at < packets.length; at += PACKETS_A_PAGE) {
    const some = packets.slice(at, at + PACKETS_A_PAGE);
    samples += some.reduce((sum, packet) => sum + samplesOf(packet), 0);
    pages.push(page(at + PACKETS_A_PAGE >= packets.length ? 4 : 0, pages.length, samples, some));
  }
  const out = new Uint8Array(pages.reduce((sum, { length }) => sum + length, 0));
  pages.reduce((at, bytes) => (out.set(bytes, at), at + bytes.length), 0);
  return out;
}

/** Walks the elements one after the other; those that hold others are walked into. */
function opened(webm: Uint8Array): { head: Uint8Array | null; packets: Uint8Array[] } {
  const packets: Uint8Array[] = [];
  let head: Uint8Array | null = null;
  let at = 0;
  while (at < webm.length) {
    const id = number(webm, at, false);
    const size = number(webm, at + id.length, true);
    if (id.length === 0 || size.length === 0) break;
    at += id.length + size.length;
    if (CONTAINERS.has(id.value)) continue;
    const body = webm.subarray(at, at + size.value);
    if (id.value === CODEC_PRIVATE) head = body;
    // Track 1, time 2, flags 1; then one packet.
    if (BLOCKS.has(id.value) && body.length > 4) packets.push(body.subarray(4));
    at += size.value;
  }
  return { head, packets };
}

/** A number of EBML: its length stands in its first byte, and goes away in sizes. */
function number(bytes: Uint8Array, at: number, isSize: boolean): { value: number; length: number } {
  const first = bytes[at] ?? 0;
  const length = first === 0 ? 0 : Math.clz32(first) - 23;
  let value = isSize ? first & (0xff >> length) : first;
  for (let n = 1; n < length; n += 1) value = value * 256 + (bytes[at + n] ?? 0);
  return { value, length };
}

/** Samples at 48 kHz of a packet, by its first bytes (RFC 6716, section 3.1). */
export function samplesOf(packet: Uint8Array): number {
  const toc = packet[0] ?? 0;
  const [mode, size] = [toc >> 3, (toc >> 3) & 3];
  const frame = mode < 12 ? [480, 960, 1920, 2880][size]! : mode < 16 ? 480 << (size & 1) : 120 << size;
  const count = (toc & 3) === 0 ? 1 : (toc & 3) < 3 ? 2 : (packet[1] ?? 0) & 63;
  return frame * count;
}

function tags(): Uint8Array {
  return new Uint8Array([...new TextEncoder().encode('OpusTags'), 0, 0, 0, 0, 0, 0, 0, 0]);
}

function page(flags: number, place: number, samples: number, packets: readonly Uint8Array[]): Uint8Array {
  const laces = packets.flatMap(({ length }) => [...Array<number>(Math.floor(length / 255)).fill(255), length % 255]);
  const body = packets.reduce((sum, { length }) => sum + length, 0);
  const out = new Uint8Array(27 + laces.length + body);
  const view = new DataView(out.buffer);
  out.set(new TextEncoder().encode('OggS'));
  out[5] = flags;
  view.setBigUint64(6, BigInt(samples), true);
  view.setUint32(14, SERIAL, true);
  view.setUint32(18, place, true);
  out[26] = laces.length;
  out.set(laces, 27);
  packets.reduce((at, packet) => (out.set(packet, at), at + packet.length), 27 + laces.length);
  view.setUint32(22, sumOf(out), true);
  return out;
}

/** CRC-32 with the polynomial 0x04c11db7, not reflected. */
export function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) {
    sum ^= byte << 24;
    for (let bit = 0; bit < 8; bit += 1) sum = sum < 0 ? (sum << 1) ^ 0x04c11db7 : sum << 1;
  }
  return sum >>> 0;
}
