/** The dataplanes under measurement, and how each starts on a node. */

import { existsSync } from 'node:fs';
import type { Dataplane, DataplaneKind } from '../../lab/dataplanes/dataplane.js';
import { kernelHasVxlan, startKernel } from '../../lab/dataplanes/kernel.js';
import { startNaive } from '../../lab/dataplanes/naive.js';
import { startOvs } from '../../lab/dataplanes/ovs.js';
import { startProxy } from '../../lab/dataplanes/proxy.js';
import { startWeft } from '../../lab/dataplanes/weft.js';
import { succeeds } from '../../lab/exec.js';
import { Lab } from '../../lab/lab.js';
import { type NetConf, netConf, udpConf, type VxlanLease } from '../../lab/leases.js';
import type { LabNode } from '../../lab/node.js';

/**
 * A dataplane under measurement. `weft@gso` is Weft with `--offload gso`, `weft-udp` with flannel's udp backend, `previous`
 * the Weft of the built checkout that WEFT_PREVIOUS names.
 */
export interface Peer {
  readonly name: string;
  readonly kind: DataplaneKind;
  /** The flags of `weft run` that its name stands for. */
  readonly flags: readonly string[];
  /**
   * Starts it on a node, with these leases in addition to the lab's own, and with these flags for Node (Weft only).
   * Resolves when it forwards.
   */
  start(node: LabNode, extra?: readonly VxlanLease[], nodeFlags?: readonly string[]): Promise<Dataplane>;
}

/** A net-conf whose Network contains the made-up leases too. */
export const WIDE = { ...netConf(), Network: '10.0.0.0/8' };
const WIDE_UDP = { ...udpConf(), Network: '10.0.0.0/8' };

/** The levels of --offload that can follow the @ of a name. */
const LEVELS = ['none', 'gso', 'bpf'];

/** Returns the peer of a name on the command line. */
export function peerOf(name: string): Peer {
  const [kind, level] = name.split('@');
  const flags = level === undefined ? [] : ['--offload', level];
  const weft =
    (conf: NetConf, checkout?: string): Peer['start'] =>
    (node, extra = [], nodeFlags = []) =>
      startWeft(node, {
        ...(checkout !== undefined && { cli: `${checkout}/dist/src/cli/weft.js` }),
        nodeFlags,
        leases: [node.lease(), ...node.peers(), ...extra],
        netConf: conf,
        flags,
      });
  const starters: Readonly<Record<string, Peer['start']>> = {
    kernel: (node, extra = []) => startKernel(node, { peers: [...node.peers(), ...extra] }),
    ovs: (node, extra = []) => startOvs(node, { peers: [...node.peers(), ...extra] }),
    naive: (node, extra = []) => startNaive(node, { peers: [...node.peers(), ...extra] }),
    proxy: (node, extra = []) => startProxy(node, { peers: [...node.peers(), ...extra] }),
    weft: weft(WIDE),
    'weft-udp': weft(WIDE_UDP),
    previous: weft(WIDE, process.env.WEFT_PREVIOUS),
  };
  const start = starters[kind];
  const fits =
    level === undefined || (LEVELS.includes(level) && (kind.startsWith('weft') || kind === 'previous'));
  if (start === undefined || !fits) {
    throw new Error(
      `--peers: '${name}' is unknown; choose from kernel, ovs, naive, proxy, weft, weft-udp, previous, weft@none, weft@gso, weft@bpf`,
    );
  }
  const isWeft = kind === 'weft-udp' || kind === 'previous';
  return { name, kind: (isWeft ? 'weft' : kind) as DataplaneKind, flags, start };
}

/** Returns why a peer cannot be measured on this machine; undefined if it can. */
export async function whyNot(peer: Peer): Promise<string | undefined> {
  const { WEFT_PREVIOUS } = process.env;
  if (peer.name.startsWith('previous') && !existsSync(`${WEFT_PREVIOUS}/dist/src/cli/weft.js`))
    return `WEFT_PREVIOUS=${WEFT_PREVIOUS ?? ''} names no built checkout; build the other revision there`;
  if (peer.kind === 'kernel' && !(await kernelHasVxlan())) return 'this kernel has no vxlan';
  if (peer.kind === 'ovs') {
    const installed = existsSync('/usr/share/openvswitch/vswitch.ovsschema');
    if (!installed || !(await succeeds(['ovs-vswitchd', '--version'])))
      return 'openvswitch-switch is not installed';
  }
  return peer.flags.length === 0 ? undefined : await refusal(peer);
}

/** Returns why Weft does not start with the flags of this peer; undefined if it does. */
async function refusal(peer: Peer): Promise<string | undefined> {
  const lab = await Lab.create({ nodes: 1, podsPerNode: 0, name: 'probe' });
  try {
    await (await peer.start(lab.node(1))).stop();
    return undefined;
  } catch (error) {
    // The error of a process that ended has its log behind it; the last line is the refusal.
    return error instanceof Error ? error.message.trimEnd().split('\n').at(-1) : String(error);
  } finally {
    await lab.dispose();
  }
}
