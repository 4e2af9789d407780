import { describe, expect, it } from 'vitest';
import vectors from '../../../docs/protocol/vectors/bundle.json';
import { base64Of, bytesOf } from '../../src/runtime/media';
import { fileOf, pagesOf } from '../../src/runtime/bundle';

const ofHex = (hex: string): Uint8Array<ArrayBuffer> => Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16));
const [items, file] = [ofHex(vectors[0]!.items), ofHex(vectors[0]!.file)];

describe('bundles', () => {
  it('are the bytes that the specification shows', async () => {
    const half = 5 + new DataView(items.buffer).getUint32(1);
    const made = await fileOf([items.subarray(0, half), items.subarray(half)].map(base64Of));
    expect(new Uint8Array(await made!.arrayBuffer())).toEqual(file);
    expect(await pagesOf(new Blob([file]))).toEqual([base64Of(items)]);
    expect(await pagesOf((await fileOf([]))!)).toEqual([]);
  });

  it('are nothing where they were cut short or changed', async () => {
    for (const broken of [file.slice(0, -1), file.slice(1), file.map((byte, at) => (at === 40 ? byte ^ 1 : byte)), file.slice(0, 10)]) {
      expect(await pagesOf(new Blob([broken]))).toBeNull();
    }
    // Whole, but its items are not.
    expect(await pagesOf((await fileOf([base64Of(Uint8Array.of(2, 0, 0, 0, 9, 1))]))!)).toBeNull();
  });

  it('come apart between items', async () => {
    const one = new Uint8Array(5 + 32_768);
    one.set([2, 0, 0, 0x80, 0]);
    const pages = await pagesOf((await fileOf(Array<string>(12).fill(base64Of(one))))!);
    expect(pages!.map((page) => bytesOf(page).length / one.length)).toEqual([5, 5, 2]);
  });
});
