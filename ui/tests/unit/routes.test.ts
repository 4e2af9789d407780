import { describe, expect, test } from 'vitest';
import vectors from '../../../docs/protocol/vectors/meeting.json';
import { doorsOf, readRoute, readRoutes, reachOf, withoutWrong } from '../../src/view-models/routes';
import { relay, route, routes } from './made';

const VECTOR = vectors.route;

describe('routes that are pasted', () => {
  test('the vector of the protocol reads as it says', async () => { // proves: RTE-1
    expect(await readRoute(VECTOR.text)).toEqual({ relay: VECTOR.relay, address: VECTOR.address, lan: false });
  });

  test('one letter missing, wrong or too many is told', async () => { // proves: RTE-3
    for (let cut = 1; cut < VECTOR.text.length; cut += 7) {
      const text = VECTOR.text.slice(0, -cut);
      expect(await readRoute(text), text).toBe(text.startsWith('stone:r') ? 'broken' : 'notRoute');
    }
    const flipped = (at: number): string => VECTOR.text.slice(0, at) + (VECTOR.text[at] === 'B' ? 'C' : 'B') + VECTOR.text.slice(at + 1);
    for (const at of [20, 60, 80]) expect(await readRoute(flipped(at))).toBe('broken');
    for (const text of [`${VECTOR.text}A`, `${VECTOR.text}!`, `stone:r${'A'.repeat(300)}`, 'stone:r', 'stone:rAQAA', await route(1, `${'a'.repeat(150)}.example:1`), await route(1, 'a.example:1', { lan: 2 })]) expect(await readRoute(text), text).toBe('broken');
  });

  test('what is something else is called by its name', async () => {
    expect(await readRoute('stone:iAQAABBBB')).toBe('invitation');
    expect(await readRoute('https://a.example/x#y')).toBe('invitation');
    expect(await readRoute('relay.example:443')).toBe('notRoute');
    expect(await readRoute(await route(1, 'a:1', { version: 2 }))).toBe('newer');
    expect(await readRoute(await route(1, 'davs://a:b@dav.example:443/x'))).toBe('drop');
  });

  test('each line has its number and its reason; empty ones count, and do not matter', async () => { // proves: PUB-4
    const good = await routes(3);
    const text = [good[0], '', 'hello', ` ${good[1]}\t${good[2]} `, await route(1, 'own.example:1'), await route(100, 'other.example:2'), await route(9, '192.168.0.7:1'), await route(10, 'far.example:1', { lan: true })].join('\n');
    const { routes: read, wrong } = await readRoutes(text, [relay(1)]);
    expect(read).toEqual(good);
    expect(wrong).toEqual([
      { line: 3, why: 'notRoute', address: null, before: null },
      { line: 5, why: 'used', address: 'own.example:1', before: null },
      { line: 6, why: 'twice', address: 'other.example:2', before: 1 },
      { line: 7, why: 'near', address: '192.168.0.7:1', before: null },
      { line: 8, why: 'near', address: 'far.example:1', before: null },
    ]);
    const kept = await readRoutes(withoutWrong(text, wrong), [relay(1)]);
    expect(kept).toEqual({ routes: good, wrong: [] });
  });

  test('a relay that a contact lent is in use too', async () => {
    expect((await readRoutes(await route(5, 'lent.example:1'), [relay(1), relay(5, { own: false })])).wrong[0]?.why).toBe('used');
  });

  test('nearer than the invitation is too near; as near is not', async () => {
    const text = [await route(20, '127.0.0.1:1'), await route(21, '10.0.0.7:1'), await route(22, 'a.example:1')].join('\n');
    const near = async (address: string): Promise<number[]> => (await readRoutes(text, [relay(1, { address })])).wrong.map(({ line }) => line);
    expect(await near('127.0.0.1:4180')).toEqual([]);
    expect(await near('192.168.1.1:4180')).toEqual([1]);
    expect(await near('198.51.100.1:4180')).toEqual([1, 2]);
  });

  test('no more than twice what fits is looked at', async () => {
    expect((await readRoutes(Array.from({ length: 10_000 }, () => 'x').join('\n'), [])).wrong).toHaveLength(128);
  });
});

describe('where it stands', () => {
  test('own ones that may be named and have answered, those that answer now first, three at most', () => { // proves: PUB-4
    const can = [relay(1, { connected: false }), relay(2), relay(3, { connected: false }), relay(4)];
    const cannot = [relay(5, { own: false }), relay(6, { private: true }), relay(7, { connected: false, answeredAt: null }), relay(8, { address: 'imaps://mail.example/x' })];
    expect(doorsOf([...cannot, ...can]).map(({ id }) => Number.parseInt(id, 16))).toEqual([2, 4, 1]);
    expect(doorsOf(cannot)).toEqual([]);
  });

  test('how far an address reaches', () => { // proves: MEET-15
    const at = (reach: number, ...addresses: string[]): void => addresses.forEach((address) => expect(reachOf(address), address).toBe(reach));
    at(0, '127.0.0.1:1', '[::1]:1', 'localhost:1', 'ana.localhost:1');
    at(1, '10.1.2.3:1', '172.16.0.1:1', '172.31.0.1:1', '192.168.0.1:1', '169.254.1.1:1', '100.64.0.1:1', '100.127.0.1:1', '[fd00::1]:1', '[fe80::1]:1', 'printer.local:1', 'printer:1');
    at(2, '192.0.2.7:1', '172.32.0.1:1', '100.128.0.1:1', '[2001:db8::1]:1', 'a.example:1', 'https://a.example:443', 'a.example:443,10.0.0.1:1', 'obfs4://192.0.2.7:9443', '10.example:1');
  });
});
