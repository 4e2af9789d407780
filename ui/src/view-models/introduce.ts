//! Words of introductions, cards and places.
//!
//! In: messages and the words of a language. Out: short texts, and the numbers of a place.

import type { Message, Place } from '../core/gen/api';
import type { Dict } from '../i18n/en';

const STEPS = 100_000;

/** "-33.44556, 151.20000". */
export function degrees({ lat, lon }: Pick<Place, 'lat' | 'lon'>): string {
  return `${(lat / STEPS).toFixed(5)}, ${(lon / STEPS).toFixed(5)}`;
}

/** What a program for maps opens; nothing is asked from the network before. */
export function geoLink({ lat, lon, accuracyM }: Place): string {
  return `geo:${(lat / STEPS).toFixed(5)},${(lon / STEPS).toFixed(5)}${accuracyM > 0 ? `;u=${accuracyM}` : ''}`;
}

/** As core takes it, from what a browser says. */
export function placeOf(latitude: number, longitude: number, accuracy: number): Place {
  return { lat: Math.round(latitude * STEPS), lon: Math.round(longitude * STEPS), accuracyM: Math.min(1_000_000, Math.max(1, Math.ceil(accuracy))), label: '' };
}

/** What a question says. */
export function introductionWords({ mine, fromName, text, introduction }: Message, t: Dict): string {
  if (introduction === null) return t.introduce.elsewhere(text);
  return mine ? t.introduce.youAsked(introduction.name) : t.introduce.question(fromName, introduction.name);
}

/** What stands for a card or a place where there is no room for it. */
export function besideText({ card, place }: Pick<Message, 'card' | 'place'>, text: string, t: Dict): string {
  const name = card !== null ? t.introduce.card(card.name) : place !== null ? (place.label === '' ? t.place.title : `${t.place.title}: ${place.label}`) : '';
  return name === '' ? text : text === '' ? name : `${name}: ${text}`;
}
