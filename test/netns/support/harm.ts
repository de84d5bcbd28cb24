/** Damage on the path: packets that a kernel counts as broken, and packets that Weft drops. */

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

/** Returns the counters of broken packets of a lab's nodes and pods that are not 0. */
export async function damageIn(lab: Lab): Promise<Counters> {
  const found: Counters = {};
  const namespaces = lab.nodes.flatMap((node) => [node, ...node.pods]);
  for (const place of namespaces) {
    const counters = await snmpOf(place);
    const note = (counter: string, value: number | undefined) => {
      if (value !== 0) found[`${place.name} ${counter}`] = value ?? Number.NaN;
    };
    for (const counter of BROKEN) note(counter, counters[counter] ?? (counter.includes('6') ? 0 : undefined));
    // A full receive buffer counts as an error too, but is no damage on the path.
    for (const udp of ['Udp.', 'Udp6']) {
      const of = (counter: string) => counters[`${udp}${counter}`] ?? 0;
      note(`${udp}InErrors`, of('InErrors') - of('RcvbufErrors') - of('MemErrors'));
    }
  }
  return found;
}

/** Returns the drop counters of a Weft process that are not 0, without those of full queues. */
export async function refusedBy(weft: { readonly runDir: string }): Promise<Counters> {
  return refusalsIn((await statusOf(weft)).counters);
}

/** Returns the drop counters that are not 0, without those of full queues. */
export function refusalsIn(counters: Counters): Counters {
  return Object.fromEntries(
    Object.entries(counters).filter(
      ([counter, value]) => value > 0 && /_drop_(?!.*(full|overflow)$)/.test(counter),
    ),
  );
}
