import { describe, expect, it } from 'vitest';
import { oggOf, samplesOf, sumOf } from '../../src/runtime/opus';

const HEAD = [...new TextEncoder().encode('OpusHead'), 1, 1, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0];
/** As Chromium writes: sizes of segment and clusters unknown. */
const webm = (packets: number[][]): Uint8Array =>
  new Uint8Array([
    0x1a, 0x45, 0xdf, 0xa3, 0x80, 0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x16, 0x54, 0xae, 0x6b, 0x80 + HEAD.length + 5, 0xae, 0x80 + HEAD.length + 3, 0x63, 0xa2, 0x80 + HEAD.length, ...HEAD,
    0x1f, 0x43, 0xb6, 0x75, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xe7, 0x81, 0,
    ...packets.flatMap((packet) => [0xa3, 0x40, packet.length + 4, 0x81, 0, 0, 0x80, ...packet]),
  ]);

describe('voice notes', () => {
  it('turn from WebM into Ogg with the same packets', () => {
    const packet = [0x48, 1, 2, 3];
    const ogg = oggOf(webm(Array<number[]>(30).fill(packet)))!;
    const text = new TextDecoder('latin1').decode(ogg);
    expect(text.split('OggS').length - 1).toBe(4);
    expect(text).toContain('OpusHead');
    expect(text).toContain('OpusTags');
    const last = text.lastIndexOf('OggS');
    const page = new DataView(ogg.buffer, last);
    expect([page.getUint8(5), page.getBigUint64(6, true), page.getUint32(18, true), page.getUint8(26)]).toEqual([4, BigInt(30 * 960), 3, 5]);
    const sum = page.getUint32(22, true);
    ogg.fill(0, last + 22, last + 26);
    expect(sumOf(ogg.subarray(last))).toBe(sum);
  });

  it('are nothing where there is no sound in them', () => {
    expect(oggOf(webm([]))).toBeNull();
    expect(oggOf(new TextEncoder().encode('no film'))).toBeNull();
    expect(oggOf(new Uint8Array())).toBeNull();
  });

  it('are as long as their packets say', () => {
    expect([[0x48], [0x0b, 2], [0x68], [0xe0], [0x19]].map((packet) => samplesOf(new Uint8Array(packet)))).toEqual([960, 1920, 960, 120, 5760]);
  });
});
