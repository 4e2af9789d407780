//! The dialog that lies over the page: one at a time.

import type { UiFault } from '../core/faults';
import type { Message } from '../core/gen/api';
import type { Row } from '../view-models/rows';

export type Overlay =
  | { kind: 'search'; chat: number | null }
  | { kind: 'accept' }
  | { kind: 'connection' }
  | { kind: 'keys' }
  | { kind: 'pins'; chat: number }
  | { kind: 'forward'; message: Message }
  | { kind: 'message'; row: Row; name: string; fault?: UiFault };

class OverlayState {
  open = $state.raw<Overlay | null>(null);

  show(overlay: Overlay): void {
    this.open = overlay;
  }

  close(): void {
    this.open = null;
  }
}

export const overlay = new OverlayState();
