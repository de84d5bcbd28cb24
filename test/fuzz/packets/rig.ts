/** One forwarding path as worker.ts builds it, between a fake device and fake sockets, in an arena with guards. */

import { closeSync, openSync } from 'node:fs';
import { Checksum } from '../../../src/dataplane/checksum/checksum.js';
import { COUNTER_NAMES } from '../../../src/dataplane/counters.js';
import { GroSplitter } from '../../../src/dataplane/io/gro-splitter.js';
import { OverlayPort } from '../../../src/dataplane/io/overlay.js';
import { OverlayGsoPort } from '../../../src/dataplane/io/overlay-gso.js';
import { Ipv4SockaddrCodec, Ipv6SockaddrCodec } from '../../../src/dataplane/io/sockaddr-codec.js';
import { UdpPort } from '../../../src/dataplane/io/udp-port.js';
import { PacketBatch } from '../../../src/dataplane/memory/batch.js';
import { LARGEST_ERROR } from '../../../src/dataplane/tunnel/icmp-error.js';
import { Ipv6Addresses } from '../../../src/dataplane/tunnel/ipv6-addresses.js';
import { TUNNEL_TRAITS } from '../../../src/dataplane/tunnel/options.js';
import { activityIn, type PeerActivity } from '../../../src/dataplane/tunnel/peer-traffic.js';
import type { Tunnel } from '../../../src/dataplane/tunnel/tunnel.js';
import { UdpTunnel } from '../../../src/dataplane/tunnel/udp.js';
import { VxlanTunnel } from '../../../src/dataplane/tunnel/vxlan.js';
import type { Doorbell } from '../../../src/dataplane/worker/doorbell.js';
import type { Idle } from '../../../src/dataplane/worker/idle.js';
import { ForwardingLoop } from '../../../src/dataplane/worker/loop.js';
import { GuardedArena } from './guards.js';
import { FakeKernel } from './kernel.js';
import { OWN_ADDRESS, OWN_MAC, type PacketOptions, PEERS, UDP_PORT } from './options.js';
import { u16, u32 } from './wire.js';

const MAX_BATCH = 64;
const MAX_REPLIES = 16;
const LARGEST_FRAME = 65536 + 64;
/** Room for small structures and for the guards around them. */
const MORE = 262_144;

export class Rig {
  readonly arena: GuardedArena;
  readonly kernel: FakeKernel;
  readonly counters = new Float64Array(COUNTER_NAMES.length);
  /** Milliseconds of the clock that limits ICMP errors. */
  now = 0;
  private drained = false;
  private readonly tunnel: Tunnel;
  private readonly loop: ForwardingLoop;
  private readonly sockets: number[];

  constructor(options: PacketOptions) {
    const gso = options.level === 'gso';
    const receives = gso ? 16 : 64;
    const traits = TUNNEL_TRAITS[options.tunnel];
    const { linkLength, headerLength, kernelPeers } = traits;
    this.arena = new GuardedArena(
      PacketBatch.footprint(MAX_BATCH, LARGEST_FRAME) +
        PacketBatch.footprint(MAX_REPLIES, LARGEST_ERROR) +
        UdpPort.footprint(receives) +
        (gso ? OverlayGsoPort.footprint(LARGEST_FRAME) : 0) +
        MORE,
    );
    const { arena, counters } = this;
    const checksum = new Checksum(arena);
    // A transmit socket that is always writable: the sender polls it after EAGAIN.
    this.sockets = Array.from({ length: options.sockets }, () => openSync('/dev/null', 'r+'));
    this.kernel = new FakeKernel(arena, {
      vnetLength: gso ? 10 : 0,
      v6: options.v6,
      sockets: this.sockets,
    });
    const { read, writev, recvmmsg, sendmmsg } = this.kernel;
    const ipv6Addresses = options.v6 ? new Ipv6Addresses() : undefined;
    this.tunnel =
      options.tunnel === 'vxlan'
        ? new VxlanTunnel(arena, counters, options, ipv6Addresses)
        : new UdpTunnel(
            arena,
            checksum,
            counters,
            { address: OWN_ADDRESS | 0, peerCheck: options.peerCheck },
            { now: () => this.now },
          );
    this.addPeers(options);
    const outbound = new PacketBatch(arena, MAX_BATCH, LARGEST_FRAME);
    const inbound = new PacketBatch(arena, GroSplitter.maxPackets(receives, gso), 0);
    const replies = new PacketBatch(arena, MAX_REPLIES, LARGEST_ERROR);
    const device = { fd: -1, podMtu: options.podMtu, linkLength };
    const ignore = (): void => undefined;
    const { uso, superpackets } = options;
    const overlay = gso
      ? new OverlayGsoPort(
          arena,
          { ...device, maxBatch: inbound.capacity, uso, superpackets },
          checksum,
          counters,
          outbound,
          ignore,
          writev,
          read,
        )
      : new OverlayPort(arena, device, checksum, counters, outbound, writev, read);
    const underlay = new UdpPort(
      arena,
      {
        fd: -1,
        txSockets: this.sockets,
        codec:
          ipv6Addresses === undefined
            ? new Ipv4SockaddrCodec(arena)
            : new Ipv6SockaddrCodec(arena, ipv6Addresses),
        port: UDP_PORT,
        tunnelLength: headerLength,
        linkLength,
        kernelPeers,
        maxRun: options.maxRun,
        receiveMessages: receives,
        maxBatch: MAX_BATCH,
      },
      checksum,
      counters,
      ignore,
      recvmmsg,
      sendmmsg,
    );
    const path = { overlay, underlay, tunnel: this.tunnel, outbound, inbound, replies };
    const doorbell = { answer: () => this.drained, stopped: true } as Doorbell;
    const idle = { reset: ignore, wait: () => this.wait() } as unknown as Idle;
    this.loop = new ForwardingLoop(path, doorbell, idle);
  }

  /** Forwards everything that waits at the fake kernel: until the loop would wait. */
  forward(): void {
    this.drained = false;
    const failure = this.loop.run(() => undefined);
    if (failure !== undefined) throw new Error(`the ${failure.port} port failed with errno ${failure.errno}`);
  }

  /** Where the loop would wait: frames that follow a failed read wake it at once. */
  private wait(): number {
    this.drained = this.kernel.frames.length === 0;
    return 0;
  }

  /** Returns the figures per peer. */
  peers(): readonly PeerActivity[] {
    const { peers } = this.tunnel.handle({ type: 'peers' }) ?? {};
    return peers === undefined ? [] : activityIn(peers, peers.now);
  }

  close(): void {
    for (const fd of this.sockets) closeSync(fd);
  }

  private addPeers(options: PacketOptions): void {
    const set = PEERS.flatMap((peer) => {
      const address = options.v6 ? [0, 4, 8, 12].map((at) => u32(peer.v6, at) | 0) : [u32(peer.v4, 0) | 0];
      const key =
        options.tunnel === 'vxlan'
          ? [u16(peer.mac, 0), u32(peer.mac, 2) | 0]
          : [u32(peer.subnet, 0) | 0, peer.prefixLength];
      return [...key, ...address];
    });
    const changes = { remove: new Int32Array(0), set: Int32Array.from(set) };
    if (options.tunnel === 'vxlan') {
      this.tunnel.handle({ type: 'fdb', ...changes });
      this.tunnel.handle({ type: 'own-mac', high: u16(OWN_MAC, 0), low: u32(OWN_MAC, 2) | 0 });
    } else {
      this.tunnel.handle({ type: 'routes', ...changes });
    }
  }
}
