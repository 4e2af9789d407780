//! Photos made small, voice notes recorded and played: what only a browser can do.
//!
//! In: files the person chose, the microphone, files of others. Out: base64 for core, sound. A photo is drawn anew, so
//! that nothing but its picture leaves; core takes out the rest once more.

import { oggOf } from './opus';

/** Sides tried, in pixels, the largest first; then the quality goes down. */
const SIDES = [1600, 1280, 960, 640] as const;
const QUALITIES = [0.82, 0.7, 0.55] as const;
const PHOTO_BYTES_MAX = 130 * 1024;
const PREVIEW_SIDE = 480;
const PREVIEW_BYTES_MAX = 60 * 1024;
const VOICE_MS_MAX = 119_000;
const PICTURE_SIDES = [512, 384, 256, 128] as const;
const PICTURE_BYTES_MAX = 60 * 1024;
const BITS_A_SECOND = 12_000;

export interface Photo {
  data: string;
  preview: string;
}

export const bytesOf = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

export function base64Of(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** A picture as it is sent, and a smaller one. Null: the browser cannot read it. */
export async function photoOf(file: Blob): Promise<Photo | null> {
  try {
    const picture = await createImageBitmap(file);
    const data = await smallest(picture, SIDES, PHOTO_BYTES_MAX);
    const preview = await smallest(picture, [PREVIEW_SIDE, PREVIEW_SIDE / 2], PREVIEW_BYTES_MAX);
    picture.close();
    return data === null || preview === null ? null : { data, preview };
  } catch {
    return null;
  }
}

/** A picture for a group, as base64. Null: the browser cannot read it. */
export async function pictureOf(file: Blob): Promise<string | null> {
  try {
    const picture = await createImageBitmap(file);
    const data = await smallest(picture, PICTURE_SIDES, PICTURE_BYTES_MAX);
    picture.close();
    return data;
  } catch {
    return null;
  }
}

async function smallest(picture: ImageBitmap, sides: readonly number[], bytes: number): Promise<string | null> {
  for (const side of sides) {
    for (const quality of QUALITIES) {
      const drawn = await draw(picture, side, quality);
      if (drawn.size <= bytes) return base64Of(new Uint8Array(await drawn.arrayBuffer()));
    }
  }
  return null;
}

function draw(picture: ImageBitmap, side: number, quality: number): Promise<Blob> {
  const scale = Math.min(1, side / Math.max(picture.width, picture.height));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(picture.width * scale)), Math.max(1, Math.round(picture.height * scale)));
  const context = canvas.getContext('2d')!;
  // What was see-through becomes white, not black.
  context.fillStyle = 'white';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: 'image/jpeg', quality });
}

const RECORDS_AS = 'audio/webm;codecs=opus';

/** This browser records what can be sent. */
export function canRecord(): boolean {
  return typeof MediaRecorder !== 'undefined' && MediaRecorder.isTypeSupported(RECORDS_AS) && navigator.mediaDevices !== undefined;
}

export interface Recording {
  /** Ends it. Out: the note as base64; null where nothing was heard. */
  end(): Promise<string | null>;
  cancel(): void;
}

/** Records from the microphone, at most two minutes. Errors: the browser's, where there is none or it was refused. */
export async function record(onfull: () => void): Promise<Recording> {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true } });
  const recorder = new MediaRecorder(stream, { mimeType: RECORDS_AS, audioBitsPerSecond: BITS_A_SECOND });
  const pieces: Blob[] = [];
  recorder.addEventListener('dataavailable', ({ data }) => pieces.push(data));
  const over = new Promise<void>((resolve) => recorder.addEventListener('stop', () => resolve(), { once: true }));
  const full = setTimeout(() => (stop(), onfull()), VOICE_MS_MAX);
  function stop(): void {
    clearTimeout(full);
    if (recorder.state !== 'inactive') recorder.stop();
    for (const track of stream.getTracks()) track.stop();
  }
  recorder.start();
  return {
    cancel: stop,
    async end() {
      stop();
      await over;
      const ogg = oggOf(new Uint8Array(await new Blob(pieces).arrayBuffer()));
      return ogg === null ? null : base64Of(ogg);
    },
  };
}

let playing: { stop: () => void } | null = null;

/** Plays a voice note; another one stops. Out: stops it. Errors: the browser cannot play it. */
export async function play(base64: string, onend: () => void): Promise<() => void> {
  playing?.stop();
  const context = new AudioContext();
  const source = context.createBufferSource();
  let ended = false;
  const stop = (): void => {
    if (ended) return;
    ended = true;
    if (playing?.stop === stop) playing = null;
    void context.close();
    onend();
  };
  playing = { stop };
  try {
    source.buffer = await context.decodeAudioData(bytesOf(base64).buffer);
  } catch (error) {
    stop();
    throw error;
  }
  if (ended) return stop;
  source.connect(context.destination);
  source.addEventListener('ended', stop);
  source.start();
  return stop;
}
