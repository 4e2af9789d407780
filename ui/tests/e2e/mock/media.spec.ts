//! Photos and voice notes: chosen, recorded from a pretended microphone, sent, shown and played, all under the strict policy.

import { fileURLToPath } from 'node:url';
import { writeFile } from 'node:fs/promises';
import type { MediaSend } from '../../../src/core/gen/api';
import { DESKTOP, expect, expectAccessible, expectAccessibleIn, PHONE, test } from './page';

test.use({ launchOptions: { executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'] }, permissions: ['microphone'] });

const PICTURE = fileURLToPath(new URL('../../../../docs/pictures/invite-light.png', import.meta.url));

test.describe('on a desktop', () => {
  test.use(DESKTOP);

  test('a photo is made small, sent with its text, and shown', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await page.locator('input[type=file]').setInputFiles(PICTURE);
    await expect(page.getByAltText('The photo that will be sent')).toBeVisible();
    await expectAccessible(page);
    await page.locator('textarea').fill('our invitation');
    await page.keyboard.press('Enter');
    await expect(page.getByAltText('The photo that will be sent')).toHaveCount(0);
    await expect(page.locator('textarea')).toHaveValue('');
    const sent = await page.evaluate(() => window.mock!.calls.filter(({ method }) => method === 'media.send').at(-1)!.params as MediaSend);
    expect(sent.text).toBe('our invitation');
    const [photo, preview] = [Buffer.from(sent.data, 'base64'), Buffer.from(sent.preview!, 'base64')];
    for (const file of [photo, preview]) expect(file.subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
    expect(photo.length).toBeLessThanOrEqual(130 * 1024);
    expect(preview.length).toBeLessThanOrEqual(60 * 1024);
    if (process.env['KEEP_MEDIA'] !== undefined) await writeFile(`${process.env['KEEP_MEDIA']}/photo.jpg`, photo);
    const last = page.locator('article').last();
    await expect(last.getByAltText('Photo')).toBeVisible();
    expect(await last.getByAltText('Photo').evaluate((img: HTMLImageElement) => img.decode().then(() => img.naturalWidth))).toBeGreaterThan(100);
    await expect(last).toHaveAttribute('aria-label', /Photo: our invitation/);
    await expectAccessible(page);
    await page.locator('input[type=file]').setInputFiles({ name: 'a.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('no picture') });
    await expect(page.getByRole('alert')).toContainText('not a picture');
  });

  test('a voice note is recorded, sent as Ogg, and plays', async ({ page, open }) => {
    await open({ scenario: 'talk', hash: '#/chat/2' });
    await page.getByRole('button', { name: 'Record a voice note' }).click();
    await expect(page.getByRole('timer')).toContainText('Recording: 0:02', { timeout: 10_000 });
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Send the note' }).click();
    const last = page.locator('article').last();
    await expect(last).toHaveAttribute('aria-label', /Voice note/);
    const sent = await page.evaluate(() => window.mock!.calls.filter(({ method }) => method === 'media.send').at(-1)!.params as MediaSend);
    const note = Buffer.from(sent.data, 'base64');
    expect(note.subarray(0, 4).toString()).toBe('OggS');
    expect(note.length).toBeLessThan(20_000);
    if (process.env['KEEP_MEDIA'] !== undefined) await writeFile(`${process.env['KEEP_MEDIA']}/note.ogg`, note);
    const seconds = await page.evaluate(async (data) => (await new AudioContext().decodeAudioData(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)).buffer)).duration, sent.data);
    expect(seconds).toBeGreaterThan(1);
    expect(seconds).toBeLessThan(12);
    await last.getByRole('button', { name: 'Play' }).click();
    await expect(last.getByRole('button', { name: 'Stop' })).toBeVisible();
    await last.getByRole('button', { name: 'Stop' }).click();
    await expect(last.getByRole('button', { name: 'Play' })).toBeVisible();
    // What is no sound says so.
    await page.evaluate(() => window.mock!.backend.files.forEach((file) => (file.data = 'AAAA')));
    await last.getByRole('button', { name: 'Play' }).click();
    await expect(last.getByRole('status')).toContainText('cannot be shown or played');
    await page.getByRole('button', { name: 'Record a voice note' }).click();
    await page.getByRole('button', { name: 'Discard' }).click();
    await expect(page.getByRole('timer')).toHaveCount(0);
  });
});

for (const lang of ['en', 'ru'] as const) {
  test.describe(`on a phone in ${lang}`, () => {
    test.use(PHONE);

    test('photo, recording and note have no finding', async ({ page, open }) => {
      await open({ scenario: 'talk', hash: '#/chat/2', lang });
      await page.locator('input[type=file]').setInputFiles(PICTURE);
      await page.locator('.strip img').waitFor();
      await page.locator('button.send').tap();
      await page.locator('article').last().locator('img').waitFor();
      await page.locator('.buttons button').last().tap();
      await page.getByRole('timer').waitFor();
      await expectAccessibleIn(page, lang);
      await page.locator('.strip .cta').tap();
      await expect(page.locator('article').last().locator('.voice')).toBeVisible();
      await expectAccessibleIn(page, lang);
    });
  });
}
