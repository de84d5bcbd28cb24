/** What a capture takes from one dataplane: the rings of its threads, and the interfaces it appears as. */

import { isIpv6Address, sockaddr, type UnderlayAddress } from '../../sys/sockaddr.js';
import { portOf } from '../io/udp-socket.js';
import { TUNNEL_TRAITS, type TunnelOptions } from '../tunnel/options.js';
import type { CaptureInterface } from './formats.js';
import type { CaptureFilter } from './layout.js';
import { RingReader } from './ring-reader.js';

/** Names and descriptions of the two interfaces. */
export interface CaptureNames {
  readonly inner: { readonly name: string; readonly description: string };
  readonly outer: { readonly name: string; readonly description: string };
}

export interface CapturedDataplane {
  readonly tunnel: TunnelOptions;
  /** UDP port of this node and of every peer. */
  readonly port: number;
  readonly address: UnderlayAddress;
  /** The sockets that all threads send through; empty if each sends through the socket it receives on. */
  readonly transmit: readonly number[];
}

/** Returns the bytes of an address in network order. */
function bytesOf(address: UnderlayAddress): Uint8Array {
  const bytes = sockaddr(address, 0);
  return isIpv6Address(address) ? bytes.subarray(8, 24) : bytes.subarray(4, 8);
}

export class CaptureSource {
  readonly readers: readonly RingReader[];
  readonly inner: CaptureInterface | undefined;
  readonly outer: CaptureInterface | undefined;

  constructor(
    rings: readonly SharedArrayBuffer[],
    { inner, outer, snaplen }: CaptureFilter,
    names: CaptureNames,
    dataplane: CapturedDataplane,
  ) {
    this.readers = rings.map((ring) => new RingReader(ring));
    const { tunnel, port } = dataplane;
    const common: Omit<CaptureInterface, 'name' | 'description' | 'isOuter'> = {
      number: 0,
      hasEthernet: TUNNEL_TRAITS[tunnel.type].linkLength > 0,
      payload: tunnel.type === 'vxlan' ? 'vxlan' : 'ip',
      snaplen,
      own: { address: bytesOf(dataplane.address), port },
      ports: dataplane.transmit.map(portOf),
      port,
    };
    if (inner) this.inner = { ...common, ...names.inner, isOuter: false };
    if (outer) this.outer = { ...common, ...names.outer, isOuter: true };
  }

  /** Follows a rebind of the sockets. */
  rebind({ address, port, transmit }: CapturedDataplane): void {
    if (this.outer === undefined) return;
    this.outer.own = { address: bytesOf(address), port };
    this.outer.ports = transmit.map(portOf);
  }
}
