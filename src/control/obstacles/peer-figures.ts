/** What the dataplane knows about the packets of each peer, as far as obstacles need it. */

import type { Ip } from '../addresses/ip.js';

export interface PeerFigures {
  /** The packets to and from the address of each peer, since the start. */
  peers(): Promise<readonly PeerPackets[]>;
  /** The sources that are no peer's address, with the inner source MAC of their last datagram. */
  refusedSources(): Promise<readonly RefusedSource[]>;
}

export interface PeerPackets {
  address: Ip;
  txPackets: number;
  rxPackets: number;
}

export interface RefusedSource {
  address: Ip;
  mac: string | undefined;
  /** Datagrams that were dropped. */
  count: number;
}
