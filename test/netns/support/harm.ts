/** Harm on the way: packets that a kernel found broken, and packets that Weft would not pass on. */

import type { Lab } from '../../../lab/lab.js';
import { type Counters, snmpOf, statusOf } from './state.js';

/** Counters of a broken checksum or header, over IPv4 and IPv6. */
const BROKEN = [
  'Ip.InHdrErrors',
  'Icmp.InCsumErrors',
  'Tcp.InErrs',
  'Tcp.InCsumErrors',
  'Udp.InCsumErrors',
  'Ip6InHdrErrors',
  'Icmp6InCsumErrors',
  'Udp6InCsumErrors',
] as const;

/** What the stacks of a lab's nodes and pods have counted as broken since they were made; no name when nothing. */
export async function damageIn(lab: Lab): Promise<Counters> {
  const found: Counters = {};
  const namespaces = lab.nodes.flatMap((node) => [node, ...node.pods]);
  for (const place of namespaces) {
    const counters = await snmpOf(place);
    const note = (counter: string, value: number | undefined) => {
      if (value !== 0) found[`${place.name} ${counter}`] = value ?? Number.NaN;
    };
    for (const counter of BROKEN) note(counter, counters[counter] ?? (counter.includes('6') ? 0 : undefined));
    // A receive buffer that is full makes an error of a datagram too, and is no harm done on the way.
    for (const udp of ['Udp.', 'Udp6']) {
      const of = (counter: string) => counters[`${udp}${counter}`] ?? 0;
      note(`${udp}InErrors`, of('InErrors') - of('RcvbufErrors') - of('MemErrors'));
    }
  }
  return found;
}

/** The drop counters of a weft that are not 0, but for full queues: those are nobody's fault. */
export async function refusedBy(weft: { readonly runDir: string }): Promise<Counters> {
  return refusalsIn((await statusOf(weft)).counters);
}

/** The same of counters. */
export function refusalsIn(counters: Counters): Counters {
  return Object.fromEntries(
    Object.entries(counters).filter(
      ([counter, value]) => value > 0 && /_drop_(?!.*(full|overflow)$)/.test(counter),
    ),
  );
}
