//! Reading a QR code from a picture, on this device. The decoder is loaded when it is first needed.

import { encode } from 'uqr';

const SIDES_PX = [1200, 700, 2000];

/** The text of the first readable code in a picture; null: none. */
export async function readQr(picture: Blob): Promise<string | null> {
  const [{ default: decode }, bitmap] = await Promise.all([import('jsqr'), createImageBitmap(picture)]);
  try {
    for (const side of SIDES_PX) {
      const pixels = pixelsOf(bitmap, side);
      const found = decode(pixels.data, pixels.width, pixels.height, { inversionAttempts: 'attemptBoth' });
      if (found !== null && found.data !== '') return found.data;
    }
    return null;
  } finally {
    bitmap.close();
  }
}

/** The picture on white, no larger than `side`: large photographs decode better when made smaller. */
function pixelsOf(bitmap: ImageBitmap, side: number): ImageData {
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height)) * (Math.max(bitmap.width, bitmap.height) < 300 ? 3 : 1);
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const pen = canvas.getContext('2d', { willReadFrequently: true })!;
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

/** The drawing of a code as a PNG, 1024 px wide. */
async function qrPicture(text: string): Promise<Blob | null> {
  const code = encode(text, { ecc: 'M', border: 4 });
  const dot = Math.max(1, Math.floor(1024 / code.size));
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = code.size * dot;
  const pen = canvas.getContext('2d')!;
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = '#26221e';
  code.data.forEach((line, y) => line.forEach((dark, x) => dark && pen.fillRect(x * dot, y * dot, dot, dot)));
  return await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
}

/** Gives the drawing of a code to the person as a file. */
export async function saveQr(text: string): Promise<void> {
  const picture = await qrPicture(text);
  if (picture === null) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(picture);
  link.download = 'stonechat.png';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
