/**
 * Sends packets through a part of the dataplane and prints what that allocated, as JSON. Started by
 * test/unit/dataplane/allocation.test.ts with the flags that allocation.ts asks for and two arguments: part, packets.
 */

import { CONTROL_SIZE, HEAD, TAIL } from '../../src/dataplane/capture/layout.js';
import { Recorder } from '../../src/dataplane/capture/recorder.js';
import { createRing } from '../../src/dataplane/capture/ring-reader.js';
import { Checksum } from '../../src/dataplane/checksum/checksum.js';
import { COUNTER } from '../../src/dataplane/counters.js';
import { GroSplitter } from '../../src/dataplane/io/gro-splitter.js';
import { OverlayPort } from '../../src/dataplane/io/overlay.js';
import { OverlayGsoPort } from '../../src/dataplane/io/overlay-gso.js';
import { MORE, type Port } from '../../src/dataplane/io/port.js';
import { Ipv4SockaddrCodec, Ipv6SockaddrCodec } from '../../src/dataplane/io/sockaddr-codec.js';
import { UdpPort } from '../../src/dataplane/io/udp-port.js';
import { openTxSockets, openUdpSockets, setGro } from '../../src/dataplane/io/udp-socket.js';
import { privateRow } from '../../src/dataplane/load.js';
import { Arena } from '../../src/dataplane/memory/arena.js';
import { PacketBatch } from '../../src/dataplane/memory/batch.js';
import { LARGEST_ERROR } from '../../src/dataplane/tunnel/icmp-error.js';
import { Ipv6Addresses } from '../../src/dataplane/tunnel/ipv6-addresses.js';
import type { Tunnel } from '../../src/dataplane/tunnel/tunnel.js';
import { UdpTunnel } from '../../src/dataplane/tunnel/udp.js';
import { VxlanTunnel } from '../../src/dataplane/tunnel/vxlan.js';
import { ETHERNET_LENGTH } from '../../src/dataplane/wire/ethernet.js';
import { VXLAN_LENGTH } from '../../src/dataplane/wire/vxlan.js';
import { Doorbell } from '../../src/dataplane/worker/doorbell.js';
import { Idle } from '../../src/dataplane/worker/idle.js';
import { ForwardingLoop, type Path } from '../../src/dataplane/worker/loop.js';
import {
  IOVEC_SIZE,
  MMSGHDR_SIZE,
  MSG_DONTWAIT,
  MSGHDR_IOV,
  MSGHDR_IOVLEN,
} from '../../src/sys/constants.js';
import { type Address, recvmmsg, sendmmsg } from '../../src/sys/ffi.js';
import { isIpv6Address, type UnderlayAddress } from '../../src/sys/sockaddr.js';
import { type Allocation, allocationOf } from './allocation.js';
import { concat, hex, ipv4, ipv6, pattern } from './bytes.js';
import { MAC_A, MAC_B, tcpFrame, udpFrame } from './frames.js';
import { setFdb, setOwnMac } from './kit.js';
import { withPartialChecksum } from './reference.js';
import { socketpair } from './socketpair.js';

const BURST = 64;
const SLOT = 2048;
const PEERS = 1000;
const WARM_UPS = 10;
const SMALL_STRUCTURES = 262_144;
const LOOPBACK = ipv4('127.0.0.1');
const LOOPBACK_IPV6 = ipv6('::1');

type Kind = 'vxlan' | 'udp';

/** A tunnel whose peer is itself: an encapsulated packet returns from loopback, for its own MAC or its own subnet. */
class Rig {
  readonly kind: Kind;
  readonly linkLength: number;
  readonly slot: number;
  readonly arena: Arena;
  readonly counters = privateRow();
  readonly checksum: Checksum;
  readonly outbound: PacketBatch;
  readonly inbound: PacketBatch;
  readonly replies: PacketBatch;
  readonly tunnel: Tunnel;
  readonly frame: Uint8Array;
  readonly addresses = new Ipv6Addresses();
  private readonly loopback: number;

  constructor(kind: Kind, learning: boolean, slot = SLOT, address: UnderlayAddress = LOOPBACK) {
    this.kind = kind;
    for (let peer = 1; peer <= PEERS; peer++) this.addresses.add([0xfd000077, 0, 0, peer]);
    this.loopback = isIpv6Address(address) ? this.addresses.add(address) : address;
    this.linkLength = kind === 'vxlan' ? ETHERNET_LENGTH : 0;
    this.frame = this.bare(tcpFrame({ destination: MAC_B, source: MAC_A, payload: pattern(1400) }));
    this.slot = slot;
    this.arena = new Arena(
      2 * PacketBatch.footprint(BURST, slot) +
        UdpPort.footprint(BURST) +
        OverlayGsoPort.footprint(slot) +
        4 * slot +
        SMALL_STRUCTURES,
    );
    this.checksum = new Checksum(this.arena);
    this.outbound = new PacketBatch(this.arena, BURST, slot);
    this.inbound = new PacketBatch(this.arena, BURST, slot);
    this.replies = new PacketBatch(this.arena, 1, LARGEST_ERROR);
    this.tunnel = kind === 'vxlan' ? this.vxlan(learning) : this.udp();
    for (const batch of [this.outbound, this.inbound]) {
      for (let i = 0; i < BURST; i++) this.arena.bytes.set(this.frame, batch.slot(i));
    }
  }

  private vxlan(learning: boolean): VxlanTunnel {
    const options = { vni: 1, peerCheck: learning ? 'off' : 'strict', learning, podMtu: 1450 } as const;
    const tunnel = new VxlanTunnel(this.arena, this.counters, options);
    for (let peer = 1; peer <= PEERS; peer++) tunnel.fdb.set(0x0200, 0x10000 + peer, 0x0a000000 + peer);
    setFdb(tunnel, MAC_B, this.loopback);
    if (!learning) setFdb(tunnel, MAC_A, this.loopback);
    setOwnMac(tunnel, MAC_B);
    return tunnel;
  }

  private udp(): UdpTunnel {
    const options = { address: ipv4('10.244.1.0'), peerCheck: 'strict' } as const;
    const tunnel = new UdpTunnel(this.arena, this.checksum, this.counters, options);
    for (let peer = 1; peer <= PEERS; peer++) tunnel.routes.set((11 << 24) | (peer << 8), 24, peer);
    tunnel.routes.set(ipv4('10.244.1.0'), 24, LOOPBACK);
    tunnel.routes.set(ipv4('10.244.2.0'), 24, LOOPBACK);
    return tunnel;
  }

  /** A frame as the device has it: a TUN's is without the Ethernet header. */
  bare(frame: Uint8Array): Uint8Array {
    return this.kind === 'vxlan' ? frame : frame.slice(ETHERNET_LENGTH);
  }

  /** A burst of frames as they came from the device. */
  refill(): void {
    const { outbound, frame, arena } = this;
    const ttl = this.linkLength + 8;
    for (let i = 0; i < BURST; i++) {
      outbound.set(i, outbound.slot(i), frame.length);
      // The tunnel may have changed TTL and checksum.
      for (let at = ttl; at < ttl + 4; at++) arena.bytes[outbound.slot(i) + at] = frame[at];
    }
    outbound.count = BURST;
  }

  get delivered(): number {
    return this.counters[COUNTER.rx_packets];
  }
}

type Run = (packets: number) => void;

/** Runs a loop, any number of times, until its own port rings the doorbell. */
class Switch {
  private readonly handle = Doorbell.create();
  readonly doorbell = new Doorbell(this.handle);

  loop(arena: Arena, path: Path): ForwardingLoop {
    // There is always traffic, but the loop may be waiting at the ring that ends it.
    return new ForwardingLoop(path, this.doorbell, new Idle(arena, [this.doorbell.eventFd], 0));
  }

  run(loop: ForwardingLoop): void {
    new Int32Array(this.handle.flags).fill(0);
    const failure = loop.run(() => {});
    if (failure !== undefined) throw new Error(`${failure.port}: errno ${failure.errno}`);
  }
}

/** encapsulate and decapsulate alone. */
function tunnelPart(kind: Kind, learning: boolean): Run {
  const rig = new Rig(kind, learning);
  const { outbound, replies, tunnel } = rig;
  return (packets) => {
    for (let done = 0; done < packets; done += BURST) {
      rig.refill();
      tunnel.encapsulate(outbound, replies);
      tunnel.decapsulate(outbound, replies);
      if (outbound.count !== BURST) throw new Error(`${outbound.count} of ${BURST} packets came through`);
    }
  };
}

/** A recorder that records everything, and what reads its ring. */
function recording({ arena }: Rig): { recorder: Recorder; read(): void } {
  const recorder = new Recorder({
    view: arena.view,
    headerLength: VXLAN_LENGTH,
    lowersTtl: false,
    maxInbound: GroSplitter.maxPackets(BURST, true),
    sourcePort: () => 8472,
  });
  const ring = createRing();
  recorder.begin(ring, { inner: true, outer: true, drops: false, snaplen: 262_144, peer: null });
  const control = new Int32Array(ring, 0, CONTROL_SIZE / 4);
  return { recorder, read: () => void Atomics.store(control, TAIL, Atomics.load(control, HEAD)) };
}

/** The forwarding loop between ports without devices; `isCaptured`: while a capture runs. */
function loopPart(isCaptured = false): Run {
  const rig = new Rig('vxlan', false);
  const capture = isCaptured ? recording(rig) : undefined;
  const switchable = new Switch();
  let left = 0;
  const overlay: Port = {
    receive(batch) {
      if (left <= 0) switchable.doorbell.stop();
      capture?.read();
      rig.refill();
      left -= batch.count;
      return MORE;
    },
    send() {},
  };
  const underlay: Port = {
    receive(batch) {
      for (let i = 0; i < BURST; i++) {
        batch.set(i, rig.outbound.offset[i], rig.outbound.length[i]);
        batch.address[i] = LOOPBACK;
      }
      batch.count = BURST;
      return MORE;
    },
    send(batch) {
      if (batch.count !== BURST) throw new Error(`${batch.count} of ${BURST} packets came through`);
    },
  };
  const { tunnel, outbound, inbound } = rig;
  const loop = switchable.loop(rig.arena, {
    overlay,
    underlay,
    tunnel,
    outbound,
    inbound,
    replies: rig.replies,
    ...(capture && { recorder: capture.recorder }),
  });
  return (packets) => {
    left = packets;
    switchable.run(loop);
  };
}

/** The pods at the far end of the socket pair: they send and receive one burst per system call. */
class Pods {
  private readonly far: number;
  private readonly source: Address;
  private readonly sink: Address;
  private readonly burst: number;

  constructor(arena: Arena, far: number, frames: readonly Uint8Array[], slot: number) {
    this.far = far;
    this.burst = frames.length;
    const spare = arena.reserve(slot);
    this.source = messages(
      arena,
      frames.map((frame) => {
        const at = arena.reserve(frame.length);
        arena.bytes.set(frame, at);
        return { at, length: frame.length };
      }),
    );
    // No test reads the received frames.
    this.sink = messages(arena, Array(BURST).fill({ at: spare, length: slot }));
  }

  send(): void {
    if (sendmmsg(this.far, this.source, this.burst, MSG_DONTWAIT) !== this.burst) {
      throw new Error('the pods cannot send');
    }
  }

  receive(): void {
    recvmmsg(this.far, this.sink, BURST, MSG_DONTWAIT);
  }
}

/** An mmsghdr for each buffer, without a name: the socket pair is connected. Absolute address of the first. */
function messages(arena: Arena, buffers: readonly { at: number; length: number }[]): Address {
  const headers = arena.reserve(buffers.length * MMSGHDR_SIZE);
  const iovecs = arena.reserve(buffers.length * IOVEC_SIZE);
  buffers.forEach(({ at, length }, index) => {
    const header = headers + index * MMSGHDR_SIZE;
    const iovec = iovecs + index * IOVEC_SIZE;
    arena.writePointer(iovec, at);
    arena.words[(iovec + 8) >> 2] = length;
    arena.writePointer(header + MSGHDR_IOV, iovec);
    arena.words[(header + MSGHDR_IOVLEN) >> 2] = 1;
  });
  return arena.address(headers);
}

/** The forwarding loop between the real ports: a socket pair for the TAP queue, a UDP socket that sends to itself. */
function portsPart(kind: Kind, gso: boolean, address: UnderlayAddress = LOOPBACK, isCaptured = false): Run {
  const rig = new Rig(kind, false, gso ? 65600 : SLOT, address);
  const { arena, checksum, counters, tunnel, outbound, linkLength } = rig;
  const switchable = new Switch();
  const [near, far] = socketpair();
  const port = 20_000 + (process.pid % 20_000);
  const [socket] = openUdpSockets(address, port, 1);
  if (gso) setGro(socket, true);
  const inbound = new PacketBatch(arena, GroSplitter.maxPackets(BURST, gso), 0);
  const tap = gso
    ? new OverlayGsoPort(
        arena,
        { fd: near, linkLength, podMtu: 1450, maxBatch: inbound.capacity, uso: true, superpackets: true },
        checksum,
        counters,
        outbound,
        () => {},
      )
    : new OverlayPort(arena, { fd: near, podMtu: 1450, linkLength }, checksum, counters, outbound);
  const capture = isCaptured ? recording(rig) : undefined;
  const pods = new Pods(arena, far, gso ? superpackets(rig) : Array(BURST).fill(rig.frame), rig.slot);
  let left = 0;
  const overlay: Port = {
    receive(batch) {
      if (left <= 0) switchable.doorbell.stop();
      else pods.send();
      capture?.read();
      left -= BURST;
      return tap.receive(batch);
    },
    send(batch) {
      tap.send(batch);
      pods.receive();
    },
  };
  const underlay = new UdpPort(
    arena,
    {
      fd: socket,
      txSockets: kind === 'vxlan' ? openTxSockets(address) : [socket],
      codec: isIpv6Address(address)
        ? new Ipv6SockaddrCodec(arena, rig.addresses)
        : new Ipv4SockaddrCodec(arena),
      port,
      tunnelLength: kind === 'vxlan' ? VXLAN_LENGTH : 0,
      linkLength,
      kernelPeers: kind === 'vxlan',
      maxRun: gso ? 64 : 1,
      receiveMessages: BURST,
      maxBatch: BURST,
    },
    checksum,
    counters,
    () => {},
  );
  const path: Path = { overlay, underlay, tunnel, outbound, inbound, replies: rig.replies };
  if (capture !== undefined) {
    path.recorder = capture.recorder;
    tap.record(capture.recorder);
    underlay.record(capture.recorder);
    tunnel.recorder = capture.recorder;
  }
  const loop = switchable.loop(arena, path);
  return (packets) => {
    const before = rig.delivered;
    left = packets;
    switchable.run(loop);
    if (rig.delivered - before < packets / 2) throw new Error(`${rig.delivered - before} of ${packets} came`);
  };
}

/** A burst of 64 packets for the wire as a TAP queue gives it: superpackets of TCP and UDP, single frames between. */
function superpackets(rig: Rig): Uint8Array[] {
  const to = { destination: MAC_B, source: MAC_A };
  const start = rig.kind === 'vxlan' ? '2200' : '1400';
  // virtio-net: NEEDS_CSUM, type, header length 0, size 1400, checksum at start + 16 or start + 6.
  const tcp = concat(
    hex(`0101 0000 7805 ${start} 1000`),
    rig.bare(withPartialChecksum(tcpFrame({ ...to, payload: pattern(20 * 1400) }))),
  );
  const udp = concat(
    hex(`0105 0000 7805 ${start} 0600`),
    rig.bare(withPartialChecksum(udpFrame({ ...to, payload: pattern(20 * 1400) }))),
  );
  const single = concat(new Uint8Array(10), rig.bare(tcpFrame({ ...to, flags: 0x18, payload: pattern(60) })));
  return [tcp, ...Array(12).fill(single), udp, ...Array(12).fill(single)];
}

/** A part that allocates 16 bytes a packet: shows that the measurement sees it. */
function leakyPart(): Run {
  const tunnel = tunnelPart('vxlan', false);
  let sink: unknown;
  return (packets) => {
    for (let done = 0; done < packets; done += BURST) {
      tunnel(BURST);
      for (let i = 0; i < BURST; i++) sink = { i };
    }
    if (sink === undefined) throw new Error('nothing was sent');
  };
}

const PARTS: Record<string, () => Run> = {
  tunnel: () => tunnelPart('vxlan', false),
  'tunnel with learning': () => tunnelPart('vxlan', true),
  'udp tunnel': () => tunnelPart('udp', false),
  loop: () => loopPart(),
  'captured loop': () => loopPart(true),
  'captured gso ports': () => portsPart('vxlan', true, LOOPBACK, true),
  ports: () => portsPart('vxlan', false),
  'gso ports': () => portsPart('vxlan', true),
  'ports over IPv6': () => portsPart('vxlan', false, LOOPBACK_IPV6),
  'gso ports over IPv6': () => portsPart('vxlan', true, LOOPBACK_IPV6),
  'udp ports': () => portsPart('udp', false),
  'udp gso ports': () => portsPart('udp', true),
  leaky: leakyPart,
};

const [part, packets] = process.argv.slice(2);
const run = PARTS[part as string]?.() as Run;
for (let i = 0; i < WARM_UPS; i++) run(Number(packets) / WARM_UPS);
const result: Allocation = await allocationOf(() => run(Number(packets)));
process.stdout.write(JSON.stringify(result));
process.exit(0);
