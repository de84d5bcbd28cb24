/**
 * Sends packets through a part of the dataplane and prints what that allocated, as JSON. Started by
 * test/unit/dataplane/allocation.test.ts with the flags that allocation.ts asks for and two arguments: part, packets.
 */

import { Checksum } from '../../src/dataplane/checksum/checksum.js';
import { COUNTER, COUNTER_NAMES } from '../../src/dataplane/counters.js';
import type { Port } from '../../src/dataplane/io/port.js';
import { TapPort } from '../../src/dataplane/io/tap.js';
import { openUdpSockets } from '../../src/dataplane/io/udp-socket.js';
import { UdpPort } from '../../src/dataplane/io/underlay.js';
import { Arena } from '../../src/dataplane/memory/arena.js';
import { PacketBatch } from '../../src/dataplane/memory/batch.js';
import { MessageVector } from '../../src/dataplane/memory/message-vector.js';
import { MSG_DONTWAIT, MSGHDR_NAME, MSGHDR_NAMELEN } from '../../src/dataplane/sys/constants.js';
import { recvmmsg, sendmmsg } from '../../src/dataplane/sys/ffi.js';
import { VxlanTunnel } from '../../src/dataplane/tunnel/vxlan.js';
import { Doorbell } from '../../src/dataplane/worker/doorbell.js';
import { ForwardingLoop, type Path } from '../../src/dataplane/worker/loop.js';
import { type Allocation, allocationOf } from './allocation.js';
import { ipv4, pattern } from './bytes.js';
import { MAC_A, MAC_B, tcpFrame } from './frames.js';
import { setFdb, setOwnMac } from './kit.js';
import { socketpair } from './socketpair.js';

const BURST = 64;
const SLOT = 2048;
const PEERS = 1000;
const WARM_UPS = 10;
const LOOPBACK = ipv4('127.0.0.1');

/** A tunnel whose peer is itself: what it encapsulates comes back from 127.0.0.1 for its own MAC. */
class Rig {
  readonly arena = new Arena(4 * PacketBatch.footprint(BURST, SLOT) + 65536);
  readonly counters = new Float64Array(COUNTER_NAMES.length);
  readonly checksum = new Checksum(this.arena);
  readonly outbound = new PacketBatch(this.arena, BURST, SLOT);
  readonly inbound = new PacketBatch(this.arena, BURST, SLOT);
  readonly tunnel: VxlanTunnel;
  readonly frame = tcpFrame({ destination: MAC_B, source: MAC_A, payload: pattern(1400) });

  constructor(learning: boolean) {
    const options = { vni: 1, mtu: 1450, peerCheck: learning ? 'off' : 'strict', learning } as const;
    this.tunnel = new VxlanTunnel(this.arena, this.checksum, this.counters, options);
    for (let peer = 1; peer <= PEERS; peer++) this.tunnel.fdb.set(0x0200, 0x10000 + peer, 0x0a000000 + peer);
    setFdb(this.tunnel, MAC_B, LOOPBACK);
    if (!learning) setFdb(this.tunnel, MAC_A, LOOPBACK);
    setOwnMac(this.tunnel, MAC_B);
    for (const batch of [this.outbound, this.inbound]) {
      for (let i = 0; i < BURST; i++) this.arena.bytes.set(this.frame, batch.slot(i));
    }
  }

  /** A burst of frames as they came from the device. */
  refill(): void {
    for (let i = 0; i < BURST; i++) this.outbound.put(i, this.outbound.slot(i), this.frame.length);
    this.outbound.count = BURST;
  }

  get delivered(): number {
    return this.counters[COUNTER.rx_packets];
  }
}

type Run = (packets: number) => void;

/** Runs a loop until its own port rings the doorbell, as often as wanted. */
class Switch {
  private readonly handle = Doorbell.create();
  readonly doorbell = new Doorbell(this.handle);

  loop(arena: Arena, path: Path): ForwardingLoop {
    // The ports always have more, so the loop never polls the descriptors.
    return new ForwardingLoop(arena, path, { tapFd: -1, socketFd: -1, doorbell: this.doorbell });
  }

  run(loop: ForwardingLoop): void {
    new Int32Array(this.handle.flags).fill(0);
    const failure = loop.run(() => {});
    if (failure !== undefined) throw new Error(`${failure.port}: errno ${failure.errno}`);
  }
}

/** encapsulate and decapsulate alone. */
function tunnelPart(learning: boolean): Run {
  const rig = new Rig(learning);
  const { outbound, tunnel } = rig;
  return (packets) => {
    for (let done = 0; done < packets; done += BURST) {
      rig.refill();
      tunnel.encapsulate(outbound);
      tunnel.decapsulate(outbound);
      if (outbound.count !== BURST) throw new Error(`${outbound.count} of ${BURST} packets came through`);
    }
  };
}

/** The forwarding loop between ports that are no devices. */
function loopPart(): Run {
  const rig = new Rig(false);
  const switchable = new Switch();
  let left = 0;
  const overlay: Port = {
    receive(batch) {
      if (left <= 0) switchable.doorbell.stop();
      rig.refill();
      left -= batch.count;
      return batch.count;
    },
    send() {},
  };
  const underlay: Port = {
    receive(batch) {
      for (let i = 0; i < BURST; i++) {
        batch.put(i, rig.outbound.offset[i], rig.outbound.length[i]);
        batch.address[i] = LOOPBACK;
      }
      batch.count = BURST;
      return BURST;
    },
    send(batch) {
      if (batch.count !== BURST) throw new Error(`${batch.count} of ${BURST} packets came through`);
    },
  };
  const { tunnel, outbound, inbound } = rig;
  const loop = switchable.loop(rig.arena, { overlay, underlay, tunnel, outbound, inbound });
  return (packets) => {
    left = packets;
    switchable.run(loop);
  };
}

/** The forwarding loop between the real ports: a socket pair for the TAP queue, a UDP socket that sends to itself. */
function portsPart(): Run {
  const rig = new Rig(false);
  const { arena, checksum, counters, tunnel, outbound, inbound, frame } = rig;
  const switchable = new Switch();
  const [near, far] = socketpair();
  const port = 20_000 + (process.pid % 20_000);
  const [socket] = openUdpSockets(LOOPBACK, port, 1);
  const tap = new TapPort(arena, near, checksum, counters);
  // The pods: frames go in and come out at the far end, a burst a system call.
  const source = new MessageVector(arena, BURST, 0);
  const sink = new MessageVector(arena, BURST, 0);
  const spare = new PacketBatch(arena, BURST, SLOT);
  for (let i = 0; i < BURST; i++) {
    source.setBuffer(i, outbound.slot(0), frame.length);
    sink.setBuffer(i, spare.slot(i), SLOT);
    for (const vector of [source, sink]) nameless(arena, vector.message(i) - arena.base);
  }
  const sourceAddress = source.message(0);
  const sinkAddress = sink.message(0);
  let left = 0;
  const overlay: Port = {
    receive(batch) {
      if (left <= 0) switchable.doorbell.stop();
      else if (sendmmsg(far, sourceAddress, BURST, MSG_DONTWAIT) !== BURST)
        throw new Error('the pods cannot send');
      left -= BURST;
      return tap.receive(batch);
    },
    send(batch) {
      tap.send(batch);
      recvmmsg(far, sinkAddress, BURST, MSG_DONTWAIT);
    },
  };
  const underlay = new UdpPort(arena, socket, port, BURST, 8, counters);
  const loop = switchable.loop(arena, { overlay, underlay, tunnel, outbound, inbound });
  return (packets) => {
    left = packets;
    switchable.run(loop);
  };
}

/** Leaves a message of a vector without an address: the socket pair is connected. */
function nameless(arena: Arena, message: number): void {
  arena.words[(message + MSGHDR_NAME) >> 2] = 0;
  arena.words[((message + MSGHDR_NAME) >> 2) + 1] = 0;
  arena.words[(message + MSGHDR_NAMELEN) >> 2] = 0;
}

/** A part that allocates 16 bytes a packet: shows that the measurement sees it. */
function leakyPart(): Run {
  const tunnel = tunnelPart(false);
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
  tunnel: () => tunnelPart(false),
  'tunnel with learning': () => tunnelPart(true),
  loop: loopPart,
  ports: portsPart,
  leaky: leakyPart,
};

const [part, packets] = process.argv.slice(2);
const run = PARTS[part as string]?.() as Run;
for (let i = 0; i < WARM_UPS; i++) run(Number(packets) / WARM_UPS);
const result: Allocation = await allocationOf(() => run(Number(packets)));
process.stdout.write(JSON.stringify(result));
process.exit(0);
