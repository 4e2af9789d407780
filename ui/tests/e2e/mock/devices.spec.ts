import { en } from '../../../src/i18n/en';
import { ru } from '../../../src/i18n/ru';
import { expect, expectAccessible, PHONE, test } from './page';

// Several devices of one account: one more by a link and its number, the list, removal; and the side that asks.
test.use(PHONE);

test('one more device, by keyboard, and its removal', async ({ page, open, mock }) => {
  const words = en;
  await open({ scenario: 'talk', hash: '#/settings', lang: 'en' });
  await page.getByRole('button', { name: words.settings.linkDevice }).press('Enter');
  await page.getByLabel(words.settings.deviceName).fill('Phone');
  await page.getByLabel(words.settings.deviceName).press('Enter');
  await expect(page.getByText('stone:d')).toBeVisible();
  await mock(({ backend }) => {
    backend.linking = { ...backend.linking!, state: 'asked', name: 'Laptop' };
    backend.emit({ kind: 'statusChanged' });
  });
  await page.getByLabel(words.settings.linkNumber).fill('000000');
  await page.getByRole('button', { name: words.settings.linkConfirm }).press('Enter');
  await expect(page.getByText(words.settings.linkWrong)).toBeVisible();
  await expectAccessible(page);
  await page.getByLabel(words.settings.linkNumber).fill('123456');
  await mock(({ backend }) => {
    backend.devices = [
      { id: 'd1'.repeat(8), name: 'Phone', this: true, home: true, addedAt: backend.now() },
      { id: 'd2'.repeat(8), name: 'Laptop', this: false, home: false, addedAt: backend.now() },
    ];
  });
  await page.getByRole('button', { name: words.settings.linkConfirm }).press('Enter');
  await expect(page.getByText(words.settings.linkDone('Laptop'))).toBeVisible();
  const remove = page.getByRole('button', { name: words.settings.removeDevice('Laptop') });
  await remove.press('Enter');
  await page.getByRole('button', { name: words.settings.removeDeviceDo, exact: true }).click();
  await expect(remove).toHaveCount(0);
});

test('a new device shows its number', async ({ page, open, mock }) => {
  const words = ru;
  await open({ scenario: 'fresh', lang: 'ru' });
  await page.getByRole('button', { name: 'Русский' }).click();
  await page.getByRole('button', { name: words.start.otherDevice }).press('Enter');
  await page.getByLabel(words.start.deviceLink).fill('stone:rAbC');
  await page.getByLabel(words.start.deviceName).fill('Ноутбук');
  await page.getByRole('button', { name: words.start.deviceAsk }).press('Enter');
  await expect(page.getByRole('alert')).toHaveText(words.faults.brokenDeviceLink);
  await page.getByLabel(words.start.deviceLink).fill('stone:dAbCdEf');
  await page.getByRole('button', { name: words.start.deviceAsk }).press('Enter');
  await expect(page.getByText(words.start.deviceAsking)).toBeVisible();
  await mock(({ backend }) => {
    backend.linking = { ...backend.linking!, state: 'showing', number: '204811' };
    backend.emit({ kind: 'statusChanged' });
  });
  await expect(page.getByText('204811')).toBeVisible();
  await expectAccessible(page);
});
