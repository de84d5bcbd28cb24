/** What the dataplane knows about the packets of each peer, as far as obstacles need it. */

import type { Dataplane, RefusedSource as DataplaneSource, PeerActivity } from '../../dataplane/dataplane.js';
import { fromUnderlay, type Ip } from '../addresses/ip.js';

export interface PeerFigures {
  /** The packets to and from the address of each peer that has any, since it was added. */
  peers(): Promise<readonly PeerPackets[]>;
  /** The addresses whose packets the peer check dropped although they belong to the lease of another address. */
  refusedSources(): Promise<readonly RefusedSource[]>;
}

export interface PeerPackets extends Omit<PeerActivity, 'address'> {
  address: Ip;
}

export interface RefusedSource {
  address: Ip;
  /** The public IP of the lease to which the packets belong. */
  leased: Ip;
  /** Datagrams that were dropped. */
  count: number;
}

type FiguresSource = Pick<Dataplane, 'peers' | 'refusedSources' | 'refusals'>;

const FIGURES = new WeakMap<FiguresSource, DataplaneFigures>();

/** Returns the figures of a dataplane. They reject with DataplaneGone once it has stopped. */
export function figuresOf(dataplane: FiguresSource): PeerFigures {
  const figures = FIGURES.get(dataplane) ?? new DataplaneFigures(dataplane);
  FIGURES.set(dataplane, figures);
  return figures;
}

class DataplaneFigures implements PeerFigures {
  private readonly dataplane: FiguresSource;
  /** The sources, and the number of refused packets, that were read last. */
  private last: { refusals: number; sources: readonly RefusedSource[] } = { refusals: 0, sources: [] };

  constructor(dataplane: FiguresSource) {
    this.dataplane = dataplane;
  }

  async peers(): Promise<PeerPackets[]> {
    return (await this.dataplane.peers()).map((peer) => ({ ...peer, address: fromUnderlay(peer.address) }));
  }

  /** Asks the threads only if they have refused packets since the last call: the check runs often. */
  async refusedSources(): Promise<readonly RefusedSource[]> {
    const refusals = this.dataplane.refusals();
    if (refusals !== this.last.refusals) {
      const sources = await this.dataplane.refusedSources();
      this.last = { refusals, sources: sources.map(toSource) };
    }
    return this.last.sources;
  }
}

function toSource({ address, leased, count }: DataplaneSource): RefusedSource {
  return { address: fromUnderlay(address), leased: fromUnderlay(leased), count };
}
