/** The time of day with its fraction of a millisecond, which Date.now() cuts off. */

import { CLOCK_REALTIME, TIMESPEC_SIZE } from './constants.js';
import { addressOf, clockGettime } from './ffi.js';

/** Returns milliseconds since 1970. */
export function wallClock(): number {
  const timespec = new Uint8Array(TIMESPEC_SIZE);
  clockGettime(CLOCK_REALTIME, addressOf(timespec));
  const view = new DataView(timespec.buffer);
  return Number(view.getBigInt64(0, true)) * 1000 + Number(view.getBigInt64(8, true)) / 1e6;
}
