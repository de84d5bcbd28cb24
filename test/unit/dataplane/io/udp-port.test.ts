// The underlay is the loopback device. The peer is a socket of Node's dgram, which shares no code with the port, or a second
// port that receives GRO runs.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { DRAINED, MORE } from '../../../../src/dataplane/io/port.js';
import { Ipv4SockaddrCodec } from '../../../../src/dataplane/io/sockaddr-codec.js';
import { UdpPort } from '../../../../src/dataplane/io/udp-port.js';
import { openTxSockets, openUdpSockets, setGro } from '../../../../src/dataplane/io/udp-socket.js';
import { CHECKSUM_COMPLETE } from '../../../../src/dataplane/memory/batch.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { close, recvmmsg } from '../../../../src/sys/ffi.js';
import { concat, hex, ipv4, pattern, toHex } from '../../../support/bytes.js';
import { type FrameOptions, packetOf, tcpFrame, udpFrame } from '../../../support/frames.js';
import { freePort } from '../../../support/free-port.js';
import { Kit } from '../../../support/kit.js';
import { naiveSegments, withPartialChecksum } from '../../../support/reference.js';

const RECEIVES = 8;
const EBADF = 9;
const ENOMEM = 12;
const EFAULT = 14;
const EINVAL = 22;
const ENOTSOCK = 88;
const ENETDOWN = 100;
const ENOBUFS = 105;
const ECONNREFUSED = 111;
const EHOSTUNREACH = 113;
const VXLAN = hex('0800000000000100');
/** All VTEPs of a cluster have one port, so on one machine each needs an address of its own. */
const OURS = '127.0.0.1';
const THEIRS = '127.0.0.2';

interface Near {
  kit: Kit;
  port: UdpPort;
  udpPort: number;
  txSockets: readonly number[];
  steps: number[];
}

interface Rig extends Near {
  peer: Socket;
  /** Datagrams the peer has received, and where from. */
  received: Buffer[];
  sources: RemoteInfo[];
}

interface Options {
  /** Of a batch: packets, and bytes of each. */
  capacity?: number;
  slotSize?: number;
  gone?: boolean;
  gso?: boolean;
  txSockets?: number[];
  /** Without any header in front of IP packets and without kernel peers, as the udp tunnel has it. */
  bare?: boolean;
  /** The errno of the next receive calls. */
  errnos?: number[];
}

/** A port on its own address. */
function near(t: Test, address: string, udpPort: number, options: Options = {}): Near {
  const { capacity = 64, slotSize = 2048, gone = false, gso = false, bare = false, errnos = [] } = options;
  const kit = new Kit(capacity, slotSize, UdpPort.footprint(RECEIVES));
  const [fd] = openUdpSockets(ipv4(address), udpPort, 1);
  if (gso) setGro(fd, true);
  const txSockets = options.txSockets ?? openTxSockets(ipv4(address));
  t.teardown(() => {
    for (const opened of [fd, ...txSockets]) close(opened);
  });
  const steps: number[] = [];
  const port = new UdpPort(
    kit.arena,
    {
      fd: gone ? -1 : fd,
      txSockets: gone ? [-1] : txSockets,
      codec: new Ipv4SockaddrCodec(kit.arena),
      port: udpPort,
      tunnelLength: bare ? 0 : VXLAN.length,
      linkLength: bare ? 0 : ETHERNET_LENGTH,
      kernelPeers: !bare,
      maxRun: gso ? 64 : 1,
      receiveMessages: RECEIVES,
      maxBatch: capacity,
    },
    kit.checksum,
    kit.counters,
    (errno) => steps.push(errno),
    (...call) => {
      const errno = errnos.shift();
      return errno === undefined ? recvmmsg(...call) : -errno;
    },
  );
  return { kit, port, udpPort, txSockets, steps };
}

async function rig(t: Test, options: Options = {}): Promise<Rig> {
  const udpPort = await freePort(OURS);
  const ours = near(t, OURS, udpPort, options);
  const peer = createSocket('udp4');
  peer.bind(udpPort, THEIRS);
  await once(peer, 'listening');
  const received: Buffer[] = [];
  const sources: RemoteInfo[] = [];
  peer.on('message', (message, from) => {
    received.push(message);
    sources.push(from);
  });
  t.teardown(() => peer.close());
  return { ...ours, peer, received, sources };
}

async function send(peer: Socket, port: number, ...datagrams: Uint8Array[]): Promise<void> {
  for (const datagram of datagrams) {
    await new Promise<void>((resolve, reject) => {
      peer.send(datagram, port, OURS, (error) => (error === null ? resolve() : reject(error)));
    });
  }
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('nothing came within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A superpacket as the overlay port and the tunnel hand it over. */
function addSuperpacket(kit: Kit, frame: Uint8Array, gsoSize: number, address = THEIRS): void {
  kit.add(concat(VXLAN, withPartialChecksum(frame)), ipv4(address));
  kit.batch.gsoSize[kit.batch.count - 1] = gsoSize;
}

function encapsulated(frames: Uint8Array[]): string[] {
  return frames.map((frame) => toHex(concat(VXLAN, frame)));
}

t.test('UdpPort.receive returns all waiting datagrams with their source addresses', async (t) => {
  const { kit, port, peer, udpPort } = await rig(t);
  const datagrams = [pattern(100), pattern(1), pattern(65507)];
  await send(peer, udpPort, ...datagrams);
  t.equal(port.receive(kit.batch), DRAINED);
  t.equal(kit.batch.count, 3);
  t.same(kit.packets().map(toHex), datagrams.map(toHex));
  for (let i = 0; i < 3; i++) {
    t.same(
      [kit.batch.address[i], kit.batch.gsoSize[i], kit.batch.checksum[i], kit.batch.tos[i]],
      [ipv4(THEIRS), 0, CHECKSUM_COMPLETE, 0],
    );
  }
});

t.test(
  'UdpPort.receive stops at the messages of one system call and returns the rest at the next call',
  async (t) => {
    const { kit, port, peer, udpPort } = await rig(t);
    await send(peer, udpPort, ...Array.from({ length: RECEIVES + 3 }, (_, index) => Uint8Array.of(index)));
    t.equal(port.receive(kit.batch), MORE);
    t.equal(kit.batch.count, RECEIVES);
    t.equal(port.receive(kit.batch), DRAINED);
    t.same(kit.packets().map(toHex), ['08', '09', '0a']);
  },
);

t.test('UdpPort.receive empties the batch when no datagram is waiting', async (t) => {
  const { kit, port } = await rig(t);
  kit.fill([pattern(10)]);
  t.equal(port.receive(kit.batch), DRAINED);
  t.equal(kit.batch.count, 0);
});

t.test('UdpPort.receive returns the negated errno of a lost socket', async (t) => {
  const { kit, port } = await rig(t, { gone: true });
  t.equal(port.receive(kit.batch), -EBADF);
  t.equal(kit.batch.count, 0);
});

t.test('UdpPort.send sends every packet to its peer, in order, and counts it', async (t) => {
  for (const gso of [false, true]) {
    const { kit, port, received } = await rig(t, { gso });
    const packets = [pattern(100), pattern(1), pattern(1458)];
    kit.fill(packets, ipv4(THEIRS));
    port.send(kit.batch);
    await until(() => received.length === 3);
    t.same(received.map(toHex), packets.map(toHex));
    t.match(kit.counted(), { tx_packets: 3, tx_bytes: 1559 - 3 * VXLAN.length });
  }
});

t.test('UdpPort.send uses the peer of the batch, not the source received last', async (t) => {
  const { kit, port, peer, udpPort, received } = await rig(t);
  await send(peer, udpPort, pattern(5));
  port.receive(kit.batch);
  kit.fill([pattern(6)], ipv4(THEIRS));
  port.send(kit.batch);
  await until(() => received.length === 1);
  t.equal(toHex(received[0] as Buffer), toHex(pattern(6)));
});

t.test('UdpPort.send drops a packet that cannot be sent and sends the others', async (t) => {
  for (const gso of [false, true]) {
    const { kit, port, received } = await rig(t, { slotSize: 65600, capacity: 8, gso });
    kit.fill([]);
    kit.add(pattern(10), ipv4(THEIRS));
    // A socket bound to loopback reaches nothing else; and no datagram has more than 65507 bytes.
    kit.add(pattern(10), ipv4('255.255.255.255'));
    kit.add(pattern(65508), ipv4(THEIRS));
    kit.add(pattern(11), ipv4(THEIRS));
    port.send(kit.batch);
    await until(() => received.length === 2);
    t.same(
      received.map(({ length }) => length),
      [10, 11],
    );
    t.same(kit.counted(), { tx_packets: 2, tx_bytes: 21 - 2 * VXLAN.length, tx_drop_send_error: 2 });
  }
});

t.test('UdpPort.send drops and counts everything on a lost socket', async (t) => {
  for (const gso of [false, true]) {
    const { kit, port } = await rig(t, { gone: true, gso });
    kit.fill([pattern(10), pattern(10), pattern(10)], ipv4(THEIRS));
    port.send(kit.batch);
    t.same(kit.counted(), { tx_drop_send_error: 3 });
  }
});

t.test('UdpPort.send sends nothing for an empty batch', async (t) => {
  const { kit, port } = await rig(t);
  kit.fill([]);
  port.send(kit.batch);
  t.same(kit.counted(), {});
});

t.test('UdpPort.send keeps one source port per flow and spreads many flows over several', async (t) => {
  const { kit, port, received, sources, udpPort } = await rig(t, { gso: true });
  const flows = 32;
  for (let round = 0; round < 2; round++) {
    kit.fill(
      Array.from({ length: flows }, (_, index) => Uint8Array.of(index)),
      ipv4(THEIRS),
    );
    for (let i = 0; i < flows; i++) kit.batch.flow[i] = Math.imul(i + 1, 0x9e3779b1);
    port.send(kit.batch);
    await until(() => received.length === flows * (round + 1));
  }
  const ports = new Map<number, Set<number>>();
  received.forEach((datagram, index) => {
    const flow = datagram[0] as number;
    ports.set(flow, (ports.get(flow) ?? new Set()).add(sources[index]?.port as number));
  });
  t.ok([...ports.values()].every(({ size }) => size === 1));
  const all = new Set([...ports.values()].flatMap((set) => [...set]));
  t.ok(all.size > 4, `${all.size} source ports`);
  t.notOk(all.has(udpPort));
  t.ok(sources.every(({ address }) => address === OURS));
});

for (const gso of [false, true]) {
  const level = gso ? 'gso' : 'none';
  t.test(`level ${level}: UdpPort sends and receives the outer TOS`, async (t) => {
    const udpPort = await freePort(OURS);
    const ours = near(t, OURS, udpPort, { gso });
    const theirs = near(t, THEIRS, udpPort, { gso });
    ours.kit.fill([pattern(10, 1), pattern(10, 2), pattern(10, 3), pattern(10, 4)], ipv4(THEIRS));
    ours.kit.batch.tos.set([3, 3, 0, 2]);
    ours.port.send(ours.kit.batch);
    theirs.port.receive(theirs.kit.batch);
    t.same(theirs.kit.packets().map(toHex), ours.kit.packets().map(toHex));
    t.same([...theirs.kit.batch.tos.slice(0, 4)], [3, 3, 0, 2]);
  });

  for (const [kind, frame, options] of [
    ['TCP', tcpFrame, {}],
    ['TCP over IPv6', tcpFrame, { ipv6: true }],
    ['TCP with options', tcpFrame, { tcpOptions: hex('0101080a 01020304 05060708') }],
    ['UDP', udpFrame, {}],
    ['UDP over IPv6', udpFrame, { ipv6: true }],
  ] as [string, (options: FrameOptions) => Uint8Array, FrameOptions][]) {
    t.test(`level ${level}: UdpPort.send sends a superpacket of ${kind} as its segments`, async (t) => {
      const { kit, port, received } = await rig(t, { slotSize: 65600, capacity: 8, gso });
      const whole = frame({ ...options, payload: pattern(60_000) });
      kit.fill([]);
      addSuperpacket(kit, whole, 1400);
      port.send(kit.batch);
      const expected = encapsulated(naiveSegments(whole, 1400));
      await until(() => received.length === expected.length);
      t.same(received.map(toHex), expected);
      t.match(kit.counted(), { tx_packets: 43 });
      t.equal(kit.counted().tx_trains, gso ? 1 : undefined);
    });
  }
}

t.test('UdpPort.send splits 130 datagrams into three GSO runs that the kernel accepts', async (t) => {
  const { kit, port, received } = await rig(t, { slotSize: 65600, capacity: 200, gso: true });
  const whole = tcpFrame({ payload: pattern(13_000) });
  kit.fill([]);
  addSuperpacket(kit, whole, 100);
  port.send(kit.batch);
  const expected = encapsulated(naiveSegments(whole, 100));
  await until(() => received.length === 130);
  t.same(received.map(toHex), expected);
  t.match(kit.counted(), { tx_packets: 130, tx_trains: 3 });
  t.notOk(kit.counted().tx_trains_replayed);
  kit.fill(
    Array.from({ length: 130 }, (_, index) => pattern(100, index)),
    ipv4(THEIRS),
  );
  port.send(kit.batch);
  await until(() => received.length === 260);
  t.match(kit.counted(), { tx_packets: 260, tx_trains: 6 });
  t.notOk(kit.counted().tx_trains_replayed);
});

t.test('UdpPort.send limits a GSO run to 65507 bytes', async (t) => {
  const { kit, port, received } = await rig(t, { slotSize: 65600, capacity: 8, gso: true });
  const whole = tcpFrame({ payload: pattern(65_000) });
  kit.fill([]);
  addSuperpacket(kit, whole, 8900);
  port.send(kit.batch);
  const expected = encapsulated(naiveSegments(whole, 8900));
  await until(() => received.length === 8);
  t.same(received.map(toHex), expected);
  t.match(kit.counted(), { tx_packets: 8, tx_trains: 1 }, 'seven of 8962, and one');
  t.notOk(kit.counted().tx_trains_replayed);
});

t.test('UdpPort.send sends segments that fill a datagram each as single datagrams', async (t) => {
  const { kit, port, received } = await rig(t, { slotSize: 65700, capacity: 8, gso: true });
  const whole = tcpFrame({ payload: pattern(65_400) });
  kit.fill([]);
  addSuperpacket(kit, whole, 40_000);
  addSuperpacket(kit, whole, 65_445);
  addSuperpacket(kit, whole, 65_495);
  port.send(kit.batch);
  await until(() => received.length === 4);
  const expected = [...naiveSegments(whole, 40_000), whole, whole];
  t.same(received.map(toHex), encapsulated(expected));
});

t.test('UdpPort.send keeps the order of superpackets and single packets of a flow', async (t) => {
  const { kit, port, received } = await rig(t, { gso: true, slotSize: 9000 });
  const whole = tcpFrame({ payload: pattern(3000) });
  kit.fill([pattern(60, 1), pattern(60, 2)], ipv4(THEIRS));
  addSuperpacket(kit, whole, 1400);
  kit.add(pattern(60, 3), ipv4(THEIRS));
  port.send(kit.batch);
  await until(() => received.length === 6);
  t.same(received.map(toHex), [
    toHex(pattern(60, 1)),
    toHex(pattern(60, 2)),
    ...encapsulated(naiveSegments(whole, 1400)),
    toHex(pattern(60, 3)),
  ]);
});

t.test('UdpPort.send sends more than its tables hold in several calls, without loss', async (t) => {
  const { kit, port, received } = await rig(t, { gso: true, slotSize: 9000, capacity: 96 });
  const expected: string[] = [];
  kit.fill([]);
  for (let i = 0; i < 70; i++) {
    const whole = tcpFrame({ payload: pattern(1600, i), identification: i });
    addSuperpacket(kit, whole, 100);
    expected.push(...encapsulated(naiveSegments(whole, 100)));
    // A few at a time: the peer's receive buffer is the kernel's default.
    if (kit.batch.count === 14) {
      port.send(kit.batch);
      await until(() => received.length === expected.length);
      kit.fill([]);
    }
  }
  t.same(received.map(toHex), expected);
  const many = Array.from({ length: 90 }, (_, index) => pattern(200 + index, index));
  kit.fill(many, ipv4(THEIRS));
  received.length = 0;
  port.send(kit.batch);
  await until(() => received.length === many.length);
  t.same(received.map(toHex), many.map(toHex), 'a run each, more than one sendmmsg takes');
});

t.test('UdpPort.receive splits a GRO run into its datagrams', async (t) => {
  const udpPort = await freePort(OURS);
  const ours = near(t, OURS, udpPort, { gso: true });
  const theirs = near(t, THEIRS, udpPort, { gso: true });
  const packets = [...Array.from({ length: 20 }, (_, index) => pattern(1000, index)), pattern(33)];
  ours.kit.fill(packets, ipv4(THEIRS));
  ours.port.send(ours.kit.batch);
  t.equal(theirs.port.receive(theirs.kit.batch), DRAINED);
  t.same(theirs.kit.packets().map(toHex), packets.map(toHex));
  for (let i = 0; i < packets.length; i++) {
    t.same([theirs.kit.batch.address[i], theirs.kit.batch.gsoSize[i]], [ipv4(OURS), 0]);
  }
});

t.test('UdpPort.receive drops and counts the datagrams that the batch has no room for', async (t) => {
  const udpPort = await freePort(OURS);
  const ours = near(t, OURS, udpPort, { gso: true, capacity: 128 });
  const theirs = near(t, THEIRS, udpPort, { gso: true, capacity: 70 });
  ours.kit.fill(
    Array.from({ length: 128 }, (_, index) => pattern(100, index)),
    ipv4(THEIRS),
  );
  ours.port.send(ours.kit.batch);
  theirs.port.receive(theirs.kit.batch);
  t.equal(theirs.kit.batch.count, 70);
  t.same(theirs.kit.counted(), { rx_drop_truncated: 58 });
});

t.test('UdpPort.send sends more segments than its header buffer holds, without loss', async (t) => {
  const udpPort = await freePort(OURS);
  const ours = near(t, OURS, udpPort, { gso: true, slotSize: 9000, capacity: 96 });
  const theirs = near(t, THEIRS, udpPort, { gso: true, capacity: 1024, slotSize: 64 });
  const expected: string[] = [];
  ours.kit.fill([]);
  for (let i = 0; i < 60; i++) {
    const whole = tcpFrame({ payload: pattern(1600, i), identification: i });
    addSuperpacket(ours.kit, whole, 100);
    expected.push(...encapsulated(naiveSegments(whole, 100)));
  }
  ours.port.send(ours.kit.batch);
  const arrived: string[] = [];
  await until(() => {
    theirs.port.receive(theirs.kit.batch);
    arrived.push(...theirs.kit.packets().map(toHex));
    return arrived.length >= expected.length;
  });
  t.same(arrived, expected);
});

for (const gso of [true, false]) {
  t.test(
    `UdpPort.send sends a superpacket without tunnel and link header ${gso ? 'as a GSO run' : 'datagram by datagram'} through the socket that receives`,
    async (t) => {
      const udpPort = await freePort(OURS);
      const ours = near(t, OURS, udpPort, { slotSize: 65600, capacity: 4, bare: true, gso });
      const theirs = near(t, THEIRS, udpPort, { capacity: 16, bare: true, gso, txSockets: [] });
      for (const make of [tcpFrame, udpFrame]) {
        const frame = make({ payload: pattern(5000) });
        ours.kit.fill([packetOf(withPartialChecksum(frame))], ipv4(THEIRS));
        ours.kit.batch.gsoSize[0] = 1000;
        ours.port.send(ours.kit.batch);
        theirs.port.receive(theirs.kit.batch);
        t.same(
          theirs.kit.packets().map(toHex),
          naiveSegments(frame, 1000).map((segment) => toHex(packetOf(segment))),
        );
      }
    },
  );
}

t.test('UdpPort.receive splits every GRO run without kernel peers, for any inner length', async (t) => {
  const udpPort = await freePort(OURS);
  const ours = near(t, OURS, udpPort, { slotSize: 16_384, capacity: 10, bare: true, gso: true });
  const theirs = near(t, THEIRS, udpPort, { capacity: 16, bare: true, gso: true, txSockets: [] });
  const whole = packetOf(udpFrame({ payload: pattern(10_000 - 28) }));
  const pieces = Array.from({ length: 10 }, (_, index) => whole.slice(index * 1000, (index + 1) * 1000));
  ours.kit.fill(pieces, ipv4(THEIRS));
  ours.port.send(ours.kit.batch);
  t.match(ours.kit.counted(), { tx_trains: 1 });
  theirs.port.receive(theirs.kit.batch);
  t.same(theirs.kit.packets().map(toHex), pieces.map(toHex));
});

/** What a kernel peer over veth hands over: UDP_GRO names the inner payload's size, and all is one datagram. */
for (const ipv6 of [false, true]) {
  t.test(
    `UdpPort.receive distinguishes an inner UDP superpacket from a GRO run (IPv${ipv6 ? 6 : 4})`,
    async (t) => {
      const udpPort = await freePort(OURS);
      const theirs = near(t, THEIRS, udpPort, { gso: true });
      const whole = concat(VXLAN, withPartialChecksum(udpFrame({ ipv6, payload: pattern(10_000) })));
      const [fd] = openUdpSockets(ipv4(OURS), udpPort, 1);
      t.teardown(() => close(fd));
      // A run of pieces of the inner payload's size is cut, and joined again, in just this way.
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < whole.length; at += 1000) pieces.push(whole.slice(at, at + 1000));
      const burst = new Kit(pieces.length, 2048, UdpPort.footprint(1));
      burst.fill(pieces, ipv4(THEIRS));
      const port = new UdpPort(
        burst.arena,
        {
          fd,
          txSockets: [fd],
          codec: new Ipv4SockaddrCodec(burst.arena),
          port: udpPort,
          tunnelLength: VXLAN.length,
          linkLength: ETHERNET_LENGTH,
          kernelPeers: true,
          maxRun: 64,
          receiveMessages: 1,
          maxBatch: pieces.length,
        },
        burst.checksum,
        burst.counters,
        () => {},
      );
      port.send(burst.batch);
      t.match(burst.counted(), { tx_trains: 1 });
      theirs.port.receive(theirs.kit.batch);
      t.equal(theirs.kit.batch.count, 1);
      t.equal(toHex(theirs.kit.packet(0)), toHex(whole));
      t.equal(theirs.kit.batch.gsoSize[0], 1000);
      t.same(theirs.kit.counted(), { rx_superpackets: 1 });
    },
  );
}

t.test(
  'UdpPort.receive survives errors of the network and of memory, and counts rx_receive_errors',
  async (t) => {
    const lasting = [ECONNREFUSED, ENETDOWN, EHOSTUNREACH, ENOMEM, ENOBUFS];
    const { kit, port, peer, udpPort } = await rig(t, { errnos: [...lasting] });
    for (const _ of lasting) t.equal(port.receive(kit.batch), DRAINED);
    t.same(kit.counted(), { rx_receive_errors: lasting.length });
    await send(peer, udpPort, pattern(100));
    t.equal(port.receive(kit.batch), DRAINED);
    t.equal(kit.batch.count, 1);
  },
);

t.test('UdpPort.receive returns an error that only a defect of this program causes', async (t) => {
  const fatal = [EBADF, ENOTSOCK, EFAULT, EINVAL];
  const { kit, port } = await rig(t, { errnos: [...fatal] });
  for (const errno of fatal) t.equal(port.receive(kit.batch), -errno);
  t.same(kit.counted(), {});
});
