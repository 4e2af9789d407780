import { DESKTOP, expect, expectAccessible, expectAccessibleIn, PHONE, test } from './page';
import { SCREENS } from './screens';

// Every screen, 360 px touch and desktop, English in the light theme and Russian in the dark one, which follow the system's: no
// finding of axe-core, no sideways overflow. Colours do not depend on the language.
for (const [size, options] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
  test.describe(size, () => {
    test.use(options);
    for (const screen of SCREENS) {
      for (const lang of ['en', 'ru'] as const) {
        test(`${screen.name}, ${lang === 'en' ? 'light, English' : 'dark, Russian'}`, async ({ page, open }) => {
          await page.emulateMedia({ reducedMotion: 'reduce' }); // before it opens: nothing is half way in
          await page.addInitScript((language) => localStorage.setItem('stonechat.language', language), lang);
          await open({ ...screen.open, lang });
          await screen.steps?.(page);
          await expect(page.locator('html')).toHaveAttribute('lang', lang);
          await expect(page.locator(screen.shows).first()).toBeVisible();
          await expectAccessibleIn(page, lang);
        });
      }
    }
  });
}

test.describe('zoom and contrast', () => {
  // 1280 px at 200 % is 640 px wide, at 400 % 320 px.
  for (const width of [640, 320]) {
    test(`usable at ${width} px`, async ({ page, open }) => {
      await page.setViewportSize({ width, height: 512 });
      for (const hash of ['', '#/chat/1', '#/settings', '#/invite', '#/public/new', '#/chat/2/safety']) {
        await open({ scenario: 'talk', lang: 'ru', hash });
        await expect(page.locator('h1:visible').first()).toBeVisible();
        expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      }
    });
  }

  test('more contrast is honoured', async ({ page, open }) => {
    await page.emulateMedia({ contrast: 'more' });
    await open({ scenario: 'talk', hash: '#/chat/1' });
    await expect(page.locator('article').first()).toBeVisible();
    await expectAccessible(page);
  });

  test('right to left: nothing overflows, Back stands on the right', async ({ page, open }) => {
    await page.setViewportSize({ width: 360, height: 720 });
    await open({ scenario: 'talk', hash: '#/chat/1' });
    await page.evaluate(() => (document.documentElement.dir = 'rtl'));
    await expect.poll(async () => (await page.locator('.back').boundingBox())?.x).toBeGreaterThan(250);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
  });
});

test.describe('targets', () => {
  test.use(PHONE);
  test('every button on a touch screen is at least 24 px, those on bars 44 px', async ({ page, open }) => {
    for (const [hash, shows] of [['#/', '.chat'], ['#/chat/1', 'article'], ['#/settings', '.switch'], ['#/invite', 'fieldset'], ['#/public/new', '#routes']] as const) {
      await open({ scenario: 'talk', hash });
      await expect(page.locator(shows).first()).toBeVisible();
      const sizes = await page.locator('button:visible, input:visible').evaluateAll((all) => all.map((one) => ({ html: one.outerHTML.slice(0, 90), icon: one.matches('.icon-button, .send, .to-end'), ...one.getBoundingClientRect().toJSON() })));
      for (const { html, icon, width, height } of sizes) {
        const least = icon ? 44 : 24;
        expect(Math.min(width, height), html).toBeGreaterThanOrEqual(least);
      }
    }
  });
});
