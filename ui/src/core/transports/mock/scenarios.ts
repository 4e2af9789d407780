//! Made-up profiles: the ones in the pictures, and the ones in which something is wrong.

import type { AcceptanceState } from '../../gen/api';
import type { UiFault } from '../../faults';
import { Backend } from './backend';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Builds the backend an address asks for. */
export function scenario(query: URLSearchParams): Backend {
  const backend = new Backend();
  const lang = query.get('lang');
  backend.settings = { language: lang, theme: query.get('theme'), readReceipts: true };
  backend.nextAcceptance = (query.get('accept') as AcceptanceState | null) ?? 'saved';
  backend.lively = query.get('lively') !== '0';
  const fault = query.get('fault') as UiFault | null;
  if (fault !== null) backend.statusFault = fault;

  const name = query.get('scenario') ?? 'talk';
  if (name !== 'fresh') account(backend, lang);
  if (name === 'talk' || name === 'locked') talk(backend, lang === 'ru');
  if (name === 'long') long(backend, Number(query.get('count') ?? 10_000));
  if (name === 'public') everybody(backend, lang === 'ru');
  if (name === 'group') group(backend, lang === 'ru');
  if (name === 'many') many(backend, Number(query.get('count') ?? 1000));
  if (name === 'nasty') nasty(backend);
  if (name === 'locked') [backend.passphrase, backend.locked] = ['correct horse battery', true];
  if (name === 'restored') backend.restored = true;
  if (name === 'alone') [backend.relays, backend.connection] = [[], 'noRelay'];
  const connection = query.get('connection');
  if (connection !== null) backend.connection = connection as Backend['connection'];
  if (query.has('clockDays')) backend.clockOffsetMs = Number(query.get('clockDays')) * DAY;
  return backend;
}

function account(backend: Backend, lang: string | null): void {
  backend.me = { id: 'a'.repeat(64), name: lang === 'ru' ? 'Аня' : 'Ana' };
  backend.relays = [{ address: '127.0.0.1:4180', own: true, connected: true, through: false, withholds: false, id: '0'.repeat(32), private: false, answeredAt: null, fromPublic: false, dealtTo: [], ways: [], tried: [] }];
  backend.connection = 'connected';
}

/** The conversation of the pictures. */
function talk(backend: Backend, ru: boolean): void {
  const now = backend.now();
  const at = (hours: number, minutes: number): number => new Date(now).setHours(hours, minutes, 0, 0);

  const others: [string, string, number, Parameters<Backend['place']>[2]][] = [
    ['Лена', '', 0, {}],
    [ru ? 'Мама' : 'Mum', ru ? 'Фотографии дошли, даже здесь' : 'The photos came through, even here', at(20, 38), { state: 'received' }],
    ['Pavel', ru ? 'Палатка со мной, у кого газ?' : 'I bring the tent, who has gas?', at(19, 2), { state: 'received' }],
    ['Andry', ru ? 'Передай, что мы на связи' : 'Tell them we can be reached', at(17, 55), { mine: true, state: 'carried' }],
    ['Nasiche', ru ? 'Мы снова на связи. Читаю всё подряд' : 'We are back online. Reading everything now', now - 2 * DAY, {}],
    ['Ikaika Māhoe', ru ? 'Поезд в 7:40 со второго пути' : 'Train leaves at 7:40 from platform 2', now - 3 * DAY, { mine: true, state: 'read' }],
    ['Ольга Сергеевна', ru ? 'Собрание перенесли на четверг' : 'The parents’ evening moved to Thursday', now - 9 * DAY, {}],
  ];
  for (const [name, text, sentAt, change] of others) {
    const chat = backend.addContact(name, { verified: name === 'Лена' || name === 'Nasiche', heardAt: sentAt || now });
    if (text !== '') backend.place(chat, text, { sentAt, ...change });
    if (name === 'Pavel') for (const more of ['Ау', 'Отзовитесь']) backend.place(chat, more, { sentAt: sentAt + MINUTE, state: 'received' });
  }
  const lena = [...backend.chats.values()][0]!;
  const yesterday = at(17, 43) - DAY;
  backend.place(lena, '', { kind: 'began', sentAt: yesterday });
  backend.place(lena, ru ? 'Привет. Проверка связи' : 'Hi. Testing, testing', { mine: true, sentAt: yesterday });
  backend.place(lena, 'Слышно хорошо', { sentAt: yesterday + MINUTE });
  backend.place(lena, 'Ставила без номера и без почты, даже странно', { sentAt: yesterday + 2 * MINUTE });
  backend.place(lena, 'Ты дома? У нас опять всё режут, ватсап не открывается совсем', { sentAt: at(20, 12) });
  backend.place(lena, 'а тут пришло сразу 🙂', { sentAt: at(20, 12) + 20_000 });
  backend.place(lena, ru ? 'Да, у меня тоже. Пришли потом адрес дачи?' : 'Same here. Send me the address of the dacha later?', { mine: true, sentAt: at(20, 15) });
  backend.place(lena, ru ? 'И кто привезёт газ' : 'And who brings the gas', { mine: true, sentAt: at(20, 15) + 30_000 });
  backend.place(lena, 'Станция Лесная, от платформы налево, дом 14. Ключ у соседки', { sentAt: at(20, 41), state: 'received' });
  backend.place(lena, 'Газ у Павла. Чайник ставлю', { sentAt: at(20, 41) + 30_000, state: 'received' });
  backend.makeInvite('family', 'spoken');
  backend.makeInvite('one', 'inPerson', { state: 'used', approved: 1, createdAt: now - 3 * DAY, expiresAt: now + 11 * DAY });
}

/** Who runs relays for others: two invitations for everybody, one of them over. */
function everybody(backend: Backend, ru: boolean): void {
  talk(backend, ru);
  const now = backend.now();
  backend.relays[0]!.address = 'stone.example:443';
  const addresses = Array.from({ length: 14 }, (_, at) => (at % 3 === 2 ? `203.0.113.${at + 10}:8443` : `https://${['garden', 'bakery', 'chess', 'library', 'weather', 'cinema', 'radio'][at % 7]}-${at + 1}.example:443`));
  backend.makePublic(addresses.slice(0, 6), 3, 1, { state: 'expired', createdAt: now - 20 * DAY, expiresAt: now - 17 * DAY });
  backend.makePublic(addresses, 14, 1, { createdAt: now - 2 * DAY - 3 * HOUR, expiresAt: now + 12 * DAY - 3 * HOUR });
}

/** A family's group beside its chats. */
function group(backend: Backend, ru: boolean): void {
  talk(backend, ru);
  const [lena, mum, pavel] = [...backend.contacts.values()];
  const chat = backend.addGroup(ru ? 'Дача на выходных' : 'The dacha on Saturday', [lena!.id, mum!.id, pavel!.id]);
  const minute = (n: number): number => backend.now() - n * MINUTE;
  const say = (from: typeof lena, text: string, at: number): void => void backend.place(chat, text, { from: from!.id, fromName: from!.name, sentAt: at });
  say(lena, ru ? 'Кто едет?' : 'Who is coming?', minute(50));
  say(mum, ru ? 'Мы с папой' : 'Dad and I', minute(48));
  say(mum, ru ? 'Пироги беру' : 'I bring the pies', minute(47));
  backend.place(chat, ru ? 'Я тоже, в семь на станции' : 'Me too, seven at the station', { mine: true, sentAt: minute(40) });
  say(pavel, ru ? 'Газ у меня' : 'I have the gas', minute(12));
}

/** Ten thousand messages in one chat. */
function long(backend: Backend, count: number): void {
  const chat = backend.addContact('Лена', { verified: true });
  const words = 'ключ поезд чайник вечер дом окно мост река лампа сад билет хлеб облако лес stone river lamp quiet garden window paper bread'.split(' ');
  const start = backend.now() - count * 7 * MINUTE;
  for (let n = 0; n < count; n += 1) {
    const length = 1 + ((n * 7919) % 23);
    const text = Array.from({ length }, (_, at) => words[(n * 31 + at * 17) % words.length]).join(' ');
    backend.place(chat, `${n + 1}. ${text}`, { mine: n % 3 === 0, sentAt: start + n * 7 * MINUTE, state: 'read' });
  }
}

/** A thousand chats. */
function many(backend: Backend, count: number): void {
  for (let n = 0; n < count; n += 1) {
    const chat = backend.addContact(`Contact ${n + 1}`, { activeAt: backend.now() - n * HOUR });
    backend.place(chat, `Message ${n + 1}`, { sentAt: backend.now() - n * HOUR });
  }
}

/** Names and texts that try to break out. */
function nasty(backend: Backend): void {
  const rtl = '\u202e';
  const names = ['<script>alert(1)</script>', `${rtl}evil`, 'א'.repeat(40), 'W'.repeat(64), '"><img src=x onerror=alert(1)>', 'Z̴̢̛a̷̡̛l̸̢̛g̷̡̛o̸̢̧͖̖̱̼̿̇̂̄', '👨‍👩‍👧‍👦 family', 'javascript:alert(1)'];
  const texts = ['<img src=x onerror=alert(1)>', "{{7*7}} ${7*7} <%= 7*7 %>", 'a'.repeat(400), `left ${rtl}right`, 'مرحبا بالعالم، كيف حالك؟', 'שלום', 'line one\nline two\n\n\nline five', 'T̸̢̛̘͚̤̹̺͎̏͐̈́̔ḩ̷̛̘͙̱̰̝́̍̑e̸̢̦̮͖͓͗ text', '\u0000\u0007 control', 'https://example.com/<b>x</b>', '田中さんにあげて下さい'];
  for (const name of names) {
    const chat = backend.addContact(name);
    for (const [n, text] of texts.entries()) backend.place(chat, text, { mine: n % 2 === 1, state: 'read' });
  }
}
