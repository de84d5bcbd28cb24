/** Whether the reader of a pipe or socket is still there. Without a write Node.js does not notice that it left. */

import { POLLERR, POLLFD_SIZE, POLLHUP, TIMESPEC_SIZE } from './constants.js';
import { addressOf, ppoll } from './ffi.js';

/** Returns false once the reader has closed its end. A file and a terminal have a reader. */
export function hasReader(fd: number): boolean {
  const pollfd = new Uint8Array(POLLFD_SIZE);
  const view = new DataView(pollfd.buffer);
  view.setInt32(0, fd, true);
  // The kernel reports these two unasked (poll(2)).
  ppoll(addressOf(pollfd), 1, addressOf(new Uint8Array(TIMESPEC_SIZE)));
  return (view.getInt16(6, true) & (POLLERR | POLLHUP)) === 0;
}
