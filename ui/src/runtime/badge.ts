//! Unread count in the window's title and icon. It tells a number, never a name.

let shown: string | null = null;

/** Shows the count; 0 removes it. */
export function showBadge(unread: number, name: string): void {
  const badge = unread === 0 ? '' : unread > 99 ? '99+' : String(unread);
  document.title = badge === '' ? name : `(${badge}) ${name}`;
  if (badge === shown) return;
  shown = badge;
  const icon = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  if (icon === null) return;
  if (badge === '') {
    icon.href = './logo.svg';
    return;
  }
  void drawBadge(badge).then((url) => {
    if (shown === badge && url !== null) icon.href = url;
  });
}

async function drawBadge(badge: string): Promise<string | null> {
  const logo = new Image();
  logo.src = './logo.svg';
  await logo.decode().catch(() => undefined);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 64;
  const pen = canvas.getContext('2d');
  if (pen === null) return null;
  pen.drawImage(logo, 0, 0, 64, 64);
  pen.fillStyle = '#b8481a';
  pen.beginPath();
  pen.roundRect(badge.length > 1 ? 18 : 30, 28, badge.length > 1 ? 46 : 34, 36, 18);
  pen.fill();
  pen.fillStyle = '#fff';
  pen.font = '700 26px "Inter Variable", sans-serif';
  pen.textAlign = 'center';
  pen.fillText(badge, badge.length > 1 ? 41 : 47, 55);
  return canvas.toDataURL('image/png');
}
