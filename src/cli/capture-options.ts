/** The options of `weft capture`. */

import type { CaptureRequest } from '../control/ipc/protocol.js';
import { show } from '../control/support/user-error.js';
import { UsageError } from './go-flags.js';
import type { UsageRow } from './usage.js';

/** tcpdump's default: whole packets. */
const SNAPLEN = 262_144;

export const CAPTURE_EXAMPLES: readonly UsageRow[] = [
  ['weft capture --peer node-2', 'one line per packet of this peer'],
  ['weft capture --drops', 'what Weft drops, with the reason'],
  ['weft capture -w pods.pcapng --count 1000', 'a file for Wireshark'],
  ['weft capture --inner | wireshark -k -i -', 'live'],
  ['weft capture | tcpdump -n -r -', 'decoded by tcpdump'],
];

export const CAPTURE_OPTIONS = {
  write: {
    type: 'string',
    short: 'w',
    row: ['-w, --write <PATH>', 'write pcapng to a file; - is the standard output'],
  },
  peer: {
    type: 'string',
    row: ['--peer <PEER>', 'one peer, by name or by an address of its node or pods'],
  },
  inner: { type: 'boolean', row: ['--inner', 'only the packets of the overlay device'] },
  outer: { type: 'boolean', row: ['--outer', 'only the datagrams of the tunnel'] },
  drops: { type: 'boolean', row: ['--drops', 'only dropped packets'] },
  snaplen: { type: 'string', row: ['--snaplen <BYTES>', `most bytes of a packet (default: ${SNAPLEN})`] },
  count: { type: 'string', short: 'c', row: ['-c, --count <N>', 'end after so many packets'] },
  text: { type: 'boolean', row: ['--text', 'one line per packet also into a pipe or a file'] },
} as const;

/** Returns the whole number of an option. @throws UsageError unless it is between 1 and `most` */
function numberOf(value: unknown, name: string, most: number): number {
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : 0;
  if (number >= 1 && number <= most) return number;
  throw new UsageError(`--${name} ${show(value)}: not a whole number from 1 to ${most}`);
}

/** Returns the request that the options describe. @throws UsageError */
export function captureRequest(
  values: Readonly<Record<string, unknown>>,
  format: CaptureRequest['format'],
): CaptureRequest {
  const { peer, count, snaplen } = values;
  if (peer === '') throw new UsageError('--peer "": name a peer, or omit the option for all peers');
  const both = values.inner !== true && values.outer !== true;
  return {
    command: 'capture',
    ...(typeof peer === 'string' && { peer }),
    inner: both || values.inner === true,
    outer: both || values.outer === true,
    drops: values.drops === true,
    snaplen: snaplen === undefined ? SNAPLEN : numberOf(snaplen, 'snaplen', SNAPLEN),
    ...(count !== undefined && { count: numberOf(count, 'count', Number.MAX_SAFE_INTEGER) }),
    format,
  };
}
