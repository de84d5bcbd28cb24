/** What the dataplane knows about the packets of each peer, as far as obstacles need it. */

import type { Dataplane } from '../../dataplane/dataplane.js';
import { fromUnderlay, type Ip } from '../addresses/ip.js';

export interface PeerFigures {
  /** The packets to and from the address of each peer, since the start. */
  peers(): Promise<readonly PeerPackets[]>;
  /** The addresses whose packets the peer check dropped although they belong to the lease of another address. */
  refusedSources(): Promise<readonly RefusedSource[]>;
}

export interface PeerPackets {
  address: Ip;
  txPackets: number;
  rxPackets: number;
}

export interface RefusedSource {
  address: Ip;
  /** The public IP of the lease to which the packets belong. */
  leased: Ip;
  /** Datagrams that were dropped. */
  count: number;
}

/** Returns the figures of a dataplane. They reject with DataplaneGone once it has stopped. */
export function figuresOf(dataplane: Pick<Dataplane, 'peers' | 'refusedSources'>): PeerFigures {
  return {
    peers: async () =>
      (await dataplane.peers()).map((peer) => ({ ...peer, address: fromUnderlay(peer.address) })),
    refusedSources: async () =>
      (await dataplane.refusedSources()).map(({ address, leased, count }) => ({
        address: fromUnderlay(address),
        leased: fromUnderlay(leased),
        count,
      })),
  };
}
