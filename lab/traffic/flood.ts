/** A flood of datagrams with a forged source address, from one node to the tunnel port of another. */

import { ipJson } from '../ip.js';
import type { LabNode } from '../node.js';
import type { LabProcess } from '../process.js';
import { DIST } from '../world.js';

export interface FloodOptions {
  /** The forged source address. */
  readonly source: string;
  /** Bytes of UDP payload. */
  readonly size: number;
  /** Datagrams per second. */
  readonly rate: number;
  readonly port?: number;
  /** The first bytes of the payload; by default a VXLAN header with VNI 1. The rest is 0. */
  readonly payload?: Buffer;
}

interface Link {
  readonly ifindex: number;
  readonly address: string;
}

/** Starts it; the end of the lab or `stop` ends it. */
export async function startFlood(from: LabNode, to: LabNode, options: FloodOptions): Promise<LabProcess> {
  const { source, size, rate, port = 8472, payload = Buffer.from('0800000000000100', 'hex') } = options;
  const linkOf = async (node: LabNode): Promise<Link> => {
    const [link] = await ipJson<Link[]>(node.netns, 'link', 'show', 'dev', node.iface);
    if (link === undefined) throw new Error(`${node.name} has no ${node.iface}`);
    return link;
  };
  const [own, target] = [await linkOf(from), await linkOf(to)];
  const addresses = [own.ifindex, target.address, source, to.address, port];
  const flooder = from.start(
    [
      process.execPath,
      `${DIST}lab/traffic/flooder.js`,
      ...[...addresses, size, rate].map(String),
      payload.toString('hex'),
    ],
    { name: `flood from ${source}` },
  );
  await flooder.waitFor(/flooding/);
  return flooder;
}
