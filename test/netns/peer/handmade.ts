/**
 * The test's side of a hand-made peer for vxlan (vtep.ts) or udp (udp-peer.ts). It starts the peer in a node, sends
 * through it, and returns what it receives.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { LabNode } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { DIST } from '../../../lab/world.js';
import { type Echo, echoIn, echoInPacket, ethernet, icmpEcho, ipv4, vxlan } from './frames.js';

export interface VtepOptions {
  readonly address: string;
  readonly port?: number;
  readonly vni?: number;
  readonly mac: string;
  /** Inner addresses whose echo requests it answers. */
  readonly answers: readonly string[];
}

export interface VtepRequest {
  readonly id: number;
  readonly hex: string;
  readonly to: string;
  readonly port: number;
  /** A source other than the VTEP's own. */
  readonly from?: { readonly address: string; readonly port: number };
  readonly times?: number;
  /** Type of service of the outer header, ECN included; with it the kernel chooses the source port. */
  readonly tos?: number;
}

/** A received UDP datagram. */
interface Arrived {
  readonly hex: string;
  readonly from: string;
  readonly port: number;
}

export interface VtepReport {
  readonly ready?: true;
  readonly done?: number;
  readonly error?: string;
  readonly received?: Arrived;
}

export interface SendOptions {
  readonly from?: { readonly address: string; readonly port: number };
  readonly times?: number;
  readonly tos?: number;
}

/** A kind of peer: its program, its port, and a parser of echoes in its datagrams. */
export interface PeerKind {
  readonly program: string;
  readonly port: number;
  readonly echoIn: (datagram: Buffer) => Echo | undefined;
}

const VTEP: PeerKind = {
  program: 'vtep.js',
  port: 8472,
  echoIn: (datagram) => echoIn(datagram.subarray(8)),
};

/** A peer of backend udp. */
export const UDP_PEER: PeerKind = { program: 'udp-peer.js', port: 8285, echoIn: echoInPacket };

export class HandmadePeer {
  /** Every received datagram, including answered echo requests. */
  readonly received: Arrived[] = [];
  readonly options: VtepOptions;
  private readonly kind: PeerKind;
  private readonly child: ChildProcess;
  private readonly target: { readonly address: string; readonly port: number };
  private readonly answers = new Map<number, (error: string | undefined) => void>();
  private requests = 0;

  private constructor(
    kind: PeerKind,
    child: ChildProcess,
    options: VtepOptions,
    target: { readonly address: string },
  ) {
    this.kind = kind;
    this.child = child;
    this.options = options;
    this.target = { address: target.address, port: options.port ?? kind.port };
    child.on('message', (report: VtepReport) => {
      if (report.received !== undefined) this.received.push(report.received);
      if (report.done !== undefined) this.answers.get(report.done)?.(report.error);
    });
  }

  /** Starts a peer in `node` for datagrams to and from `target`; the lab stops it. */
  static async start(
    node: LabNode,
    target: { readonly address: string },
    options: Partial<VtepOptions> = {},
    kind = VTEP,
  ): Promise<HandmadePeer> {
    const whole = { address: node.address, mac: node.vtepMac, answers: [], ...options };
    // `ip netns exec` instead of node: it passes the IPC descriptor on.
    const child = fork(`${DIST}test/netns/peer/${kind.program}`, [JSON.stringify(whole)], {
      execPath: 'ip',
      execArgv: ['netns', 'exec', node.netns, process.execPath],
    });
    const peer = new HandmadePeer(kind, child, whole, target);
    node.own(peer);
    const [first] = (await once(child, 'message')) as [VtepReport];
    if (first.ready !== true) throw new Error(`${kind.program} on ${node.name} did not start`);
    return peer;
  }

  /** Sends a datagram to the target's VTEP; resolves once the kernel has accepted it. */
  send(datagram: Buffer, options: SendOptions = {}): Promise<void> {
    const id = ++this.requests;
    const { address: to, port } = this.target;
    const request: VtepRequest = { id, hex: datagram.toString('hex'), to, port, ...options };
    return new Promise((resolve, reject) => {
      this.answers.set(id, (error) => {
        this.answers.delete(id);
        if (error === undefined) resolve();
        else reject(new Error(error));
      });
      this.child.send(request);
    });
  }

  /** Waits for a matching echo request or reply; throws if none arrives. */
  async waitForEcho(what: string, fits: (echo: Echo) => boolean): Promise<Echo> {
    return await until(what, () => this.echoes().find(fits));
  }

  /** Returns the received echo requests and replies in their order. */
  echoes(): Echo[] {
    return this.received.flatMap(({ hex }) => this.kind.echoIn(Buffer.from(hex, 'hex')) ?? []);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }
}

/** Builds a datagram with an echo request of a peer's pod; every field can be wrong on purpose. */
export function echoRequest(fields: {
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly from: string;
  readonly to: string;
  readonly sequence: number;
  readonly tos?: number;
  readonly header?: Parameters<typeof vxlan>[1];
}): Buffer {
  const message = icmpEcho(8, 0x7766, fields.sequence, Buffer.from('weft netns test'));
  const packet = ipv4(fields.from, fields.to, 1, message, fields.tos);
  return vxlan(ethernet(fields.destinationMac, fields.sourceMac, 0x0800, packet), fields.header);
}
