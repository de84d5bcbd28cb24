/** The test bed: a guest with Weft as node 1, and a node of this machine with the kernel's vxlan as node 2. */

import { mkdir } from 'node:fs/promises';
import { startKernel } from '../../lab/dataplanes/kernel.js';
import { LabNode, type NodeSettings, type Owned, type Pod } from '../../lab/node.js';
import { SCRATCH } from '../../lab/world.js';
import { checksumErrorsOf, Guest, type GuestImage, type LinkMode } from './guest.js';
import { GuestNode } from './guest-node.js';

export class Bed {
  readonly node: GuestNode;
  readonly peer: LabNode;
  readonly peerPod: Pod;
  private readonly owned: readonly Owned[];

  private constructor(node: GuestNode, peer: LabNode, peerPod: Pod, owned: readonly Owned[]) {
    this.node = node;
    this.peer = peer;
    this.peerPod = peerPod;
    this.owned = owned;
  }

  /** Boots a guest and sets up both nodes; if that fails half-way, stops what was started. */
  static async create(image: GuestImage, link: LinkMode, conf?: object): Promise<Bed> {
    const lab = `${image.suite}-${link}`;
    const owned: Owned[] = [];
    const settings: NodeSettings = {
      lab,
      dir: `${SCRATCH}/${lab}`,
      iface: 'underlay',
      podMtu: 1450,
      ipv6: false,
      own: (thing) => owned.push(thing),
      leases: () => [],
    };
    const [self, peer] = [new LabNode(1, settings), new LabNode(2, settings)];
    try {
      await mkdir(peer.dir, { recursive: true });
      await peer.build();
      const peerPod = await peer.addPod();
      const guest = await Guest.boot(image, peer, link);
      const node = new GuestNode(guest, self);
      await node.build([peer.lease()], conf);
      await startKernel(peer, { peers: [self.lease()] });
      return new Bed(node, peer, peerPod, owned);
    } catch (error) {
      await stopAll(owned);
      throw error;
    }
  }

  /** Returns how many checksum errors both nodes and both pods have counted. */
  async checksumErrors(): Promise<number> {
    const here = [this.peer.netns, this.peerPod.netns].map((netns) => checksumErrorsOf(netns));
    const counts = [...(await Promise.all(here)), await this.node.checksumErrors()];
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async dispose(): Promise<void> {
    await stopAll(this.owned);
  }
}

async function stopAll(owned: readonly Owned[]): Promise<void> {
  for (const thing of [...owned].reverse()) await thing.stop();
}
