// A naive segmenter splits the superpackets that Coalescer makes of random bursts; the result must be the original burst.
// The datagrams that UdpPort.send makes of superpackets must equal the segments of the same segmenter.

import fc from 'fast-check';
import t from 'tap';
import {
  Ipv4SockaddrCodec,
  Ipv6SockaddrCodec,
  type SockaddrCodec,
} from '../../src/dataplane/io/sockaddr-codec.js';
import { UdpPort } from '../../src/dataplane/io/udp-port.js';
import { openTxSockets, openUdpSockets } from '../../src/dataplane/io/udp-socket.js';
import type { Arena } from '../../src/dataplane/memory/arena.js';
import { CHECKSUM_PARTIAL } from '../../src/dataplane/memory/batch.js';
import { Coalescer } from '../../src/dataplane/offload/coalesce.js';
import { PartialChecksum } from '../../src/dataplane/offload/partial-checksum.js';
import { Ipv6Addresses } from '../../src/dataplane/tunnel/ipv6-addresses.js';
import { ETHERNET_LENGTH } from '../../src/dataplane/wire/ethernet.js';
import { close } from '../../src/sys/ffi.js';
import { isIpv6Address, type UnderlayAddress } from '../../src/sys/sockaddr.js';
import { concat, hex, ipv4, ipv6, pattern, toHex, viewOf } from '../support/bytes.js';
import { type FrameOptions, tagged, tcpFrame, udpFrame } from '../support/frames.js';
import { freePort } from '../support/free-port.js';
import { Kit } from '../support/kit.js';
import {
  checksumsVerify,
  layoutOf,
  naiveSegments,
  pseudoHeader,
  slowSum,
  withChecksums,
  withPartialChecksum,
} from '../support/reference.js';

const PACKETS = 120;
const FLOWS = 6;
const VLAN = 0x8100;

interface Flow {
  udp: boolean;
  ipv6: boolean;
  vlan: boolean;
  dontFragment: boolean;
  size: number;
  port: number;
  sequence: number;
  identification: number;
  tcpOptions: number;
}

/** What happens to a packet: most are plain, so that entries become long. */
type Event =
  | 'plain'
  | 'short'
  | 'long'
  | 'psh'
  | 'fin'
  | 'syn'
  | 'rst'
  | 'urg'
  | 'cwr'
  | 'ece'
  | 'ack'
  | 'duplicate'
  | 'skip'
  | 'ecn'
  | 'dscp'
  | 'ttl'
  | 'window'
  | 'option'
  | 'fragment'
  | 'padding'
  | 'broken'
  | 'broken header'
  | 'partial'
  | 'no checksum'
  | 'ip options'
  | 'identification';

const flow: fc.Arbitrary<Omit<Flow, 'port'>> = fc.record({
  udp: fc.boolean(),
  ipv6: fc.boolean(),
  vlan: fc.boolean(),
  dontFragment: fc.boolean(),
  size: fc.integer({ min: 1, max: 1448 }),
  sequence: fc.oneof(fc.nat(0xffffffff), fc.constant(0xfffff000)),
  identification: fc.oneof(fc.nat(0xffff), fc.constant(0xfff8)),
  tcpOptions: fc.nat(3),
});

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 80, arbitrary: fc.constant<Event>('plain') },
  {
    weight: 20,
    arbitrary: fc.constantFrom<Event>(
      ...([
        'short',
        'long',
        'psh',
        'fin',
        'syn',
        'rst',
        'urg',
        'cwr',
        'ece',
        'ack',
        'duplicate',
        'skip',
      ] as const),
      ...([
        'ecn',
        'dscp',
        'ttl',
        'window',
        'option',
        'fragment',
        'padding',
        'broken',
        'broken header',
      ] as const),
      ...(['partial', 'no checksum', 'ip options', 'identification'] as const),
    ),
  },
);

const FLAGS: Partial<Record<Event, number>> = {
  psh: 0x18,
  fin: 0x11,
  syn: 0x12,
  rst: 0x14,
  urg: 0x30,
  cwr: 0x90,
  ece: 0x50,
};

/** A flow's packets one by one. */
class Source {
  private readonly flow: Flow;
  private sequence: number;
  private identification: number;
  private seed = 0;
  private last: Uint8Array | undefined;

  constructor(flow: Flow) {
    this.flow = flow;
    this.sequence = flow.sequence;
    this.identification = flow.identification;
  }

  next(what: Event): Uint8Array {
    const { flow } = this;
    if (what === 'duplicate' && this.last !== undefined) return this.last;
    if (what === 'skip') this.sequence += flow.size;
    if (what === 'identification') this.identification += 5;
    const length =
      what === 'short'
        ? Math.ceil(flow.size / 2)
        : what === 'long'
          ? flow.size + 1
          : what === 'ack'
            ? 0
            : flow.size;
    const options = new Uint8Array(flow.tcpOptions * 4).fill(1);
    if (what === 'option' && options.length > 0) options[2] = 0x99;
    const built: FrameOptions = {
      ipv6: flow.ipv6,
      tcpOptions: options,
      ipOptions: new Uint8Array(what === 'ip options' && !flow.ipv6 ? 4 : 0).fill(1),
      sequence: this.sequence % 2 ** 32,
      identification: this.identification % 65536,
      flags: FLAGS[what] ?? 0x10,
      payload: pattern(length, flow.port * 1000 + this.seed++),
      mutate: (frame) => this.mutate(frame, what),
    };
    this.sequence += length;
    this.identification++;
    let frame = flow.udp ? udpFrame(built) : tcpFrame(built);
    if (what === 'broken') frame[frame.length - 1] = (frame[frame.length - 1] as number) ^ 1;
    if (what === 'broken header' && !flow.ipv6) frame[24] = (frame[24] as number) ^ 1;
    if (what === 'partial') frame = withPartialChecksum(frame);
    if (what === 'no checksum' && flow.udp) viewOf(frame).setUint16(layoutOf(frame).checksum, 0);
    if (what === 'padding') frame = concat(frame, new Uint8Array(6));
    this.last = flow.vlan ? tagged(frame, 0x2000 + flow.port) : frame;
    return this.last;
  }

  private mutate(frame: Uint8Array, what: Event): void {
    const { ipv6, dontFragment, port } = this.flow;
    const view = viewOf(frame);
    const { transport } = layoutOf(frame);
    view.setUint16(transport, 1000 + port);
    if (what === 'window' && !this.flow.udp) view.setUint16(transport + 14, 99);
    if (ipv6) {
      if (what === 'ecn') view.setUint8(15, 0x31);
      if (what === 'dscp') view.setUint8(14, 0x6b);
      if (what === 'ttl') view.setUint8(21, 9);
    } else {
      view.setUint16(20, dontFragment ? 0x4000 : 0);
      if (what === 'fragment') view.setUint16(20, 0x2000);
      if (what === 'ecn') view.setUint8(15, 3);
      if (what === 'dscp') view.setUint8(15, 0xb8);
      if (what === 'ttl') view.setUint8(22, 9);
    }
  }
}

interface Burst {
  frames: Uint8Array[];
  flowOf: number[];
  partial: boolean[];
}

const burst: fc.Arbitrary<Burst> = fc
  .tuple(
    fc.array(flow, { minLength: 1, maxLength: FLOWS }),
    fc.array(fc.tuple(fc.nat(FLOWS - 1), event, fc.integer({ min: 1, max: 12 })), { maxLength: 30 }),
    // Pairs of places to swap: packets out of order.
    fc.array(fc.tuple(fc.nat(PACKETS - 1), fc.nat(4)), { maxLength: 3 }),
  )
  .map(([flows, steps, swaps]) => {
    const sources = flows.map((chosen, port) => new Source({ ...chosen, port }));
    const packets: { frame: Uint8Array; flow: number; partial: boolean }[] = [];
    for (const [which, what, repeat] of steps) {
      const flow = which % sources.length;
      for (let i = 0; i < (what === 'plain' ? repeat : 1) && packets.length < PACKETS; i++) {
        const frame = (sources[flow] as Source).next(what);
        packets.push({ frame, flow, partial: what === 'partial' });
      }
    }
    for (const [at, distance] of swaps) {
      const [a, b] = [packets[at], packets[at + distance]];
      if (a === undefined || b === undefined) continue;
      packets[at] = b;
      packets[at + distance] = a;
    }
    return {
      frames: packets.map(({ frame }) => frame),
      flowOf: packets.map(({ flow }) => flow),
      // A duplicate of one is one as well.
      partial: packets.map(({ frame }) => packets.some((other) => other.partial && other.frame === frame)),
    };
  });

const kit = new Kit(PACKETS, 2048);
const partial = new PartialChecksum(kit.arena, kit.checksum, kit.counters, ETHERNET_LENGTH + 1450);
const coalescers = [true, false].map(
  (uso) =>
    new Coalescer(kit.arena, kit.checksum, partial, {
      maxBatch: PACKETS,
      udp: uso,
      linkLength: ETHERNET_LENGTH,
    }),
);

interface Entry {
  packets: number[];
  bytes: Uint8Array;
  gsoSize: number;
}

function coalesce(burst: Burst, uso: boolean): Entry[] {
  const coalescer = coalescers[uso ? 0 : 1] as Coalescer;
  kit.fill(burst.frames);
  burst.partial.forEach((partial, index) => {
    if (partial) kit.batch.checksum[index] = CHECKSUM_PARTIAL;
  });
  coalescer.coalesce(kit.batch);
  return Array.from({ length: coalescer.count }, (_, entry) => {
    const packets: number[] = [];
    const head = coalescer.head[entry] as number;
    for (let at = head; at >= 0; at = coalescer.next[at] as number) packets.push(at);
    const parts = packets.map((at) =>
      kit.packet(at).slice(at === head ? 0 : kit.batch.headers[head].headersLength),
    );
    const gsoSize = packets.length > 1 ? (kit.batch.gsoSize[head] as number) : 0;
    return { packets, bytes: concat(...parts), gsoSize };
  });
}

function isTagged(frame: Uint8Array): boolean {
  return viewOf(frame).getUint16(12) === VLAN;
}

function untagged(frame: Uint8Array): Uint8Array {
  return isTagged(frame) ? concat(frame.slice(0, 12), frame.slice(16)) : frame;
}

function split(entry: Entry): Uint8Array[] {
  if (entry.gsoSize === 0) return [entry.bytes];
  const segments = naiveSegments(untagged(entry.bytes), entry.gsoSize);
  return isTagged(entry.bytes)
    ? segments.map((segment) => tagged(segment, viewOf(entry.bytes).getUint16(14)))
    : segments;
}

/**
 * Returns a frame as text, without the fields that coalescing may change. With DF the identification has no meaning
 * (RFC 6864). A partial checksum may have been completed.
 */
function essence(frame: Uint8Array, joined: boolean): string {
  if (!joined) return toHex(frame);
  const copy = untagged(frame).slice();
  const view = viewOf(copy);
  if (view.getUint8(14) >> 4 === 4 && (view.getUint16(20) & 0x4000) !== 0) view.setUint16(18, 0);
  return toHex(withChecksums(copy)) + (isTagged(frame) ? viewOf(frame).getUint16(14) : '');
}

for (const uso of [true, false]) {
  const name = uso ? 'with USO' : 'without USO';

  t.test(`${name}: segmenting the superpackets of Coalescer restores every packet`, async () => {
    fc.assert(
      fc.property(burst, (made) => {
        for (const entry of coalesce(made, uso)) {
          const joined = entry.packets.length > 1;
          const expected = entry.packets.map((at) => essence(made.frames[at] as Uint8Array, joined));
          const parts = split(entry).map((part) => essence(part, joined));
          if (JSON.stringify(parts) !== JSON.stringify(expected)) return false;
        }
        return true;
      }),
      { numRuns: 300 },
    );
  });

  t.test(`${name}: Coalescer keeps every packet once and the payload of each flow in order`, async () => {
    fc.assert(
      fc.property(burst, (made) => {
        const order = coalesce(made, uso).flatMap(({ packets }) => packets);
        const once = [...order].sort((a, b) => a - b).every((packet, index) => packet === index);
        if (!once || order.length !== made.frames.length) return false;
        // Only a pure ACK may be overtaken.
        const heavy = order.filter((packet) => !isPureAck(made.frames[packet] as Uint8Array));
        for (let flow = 0; flow < FLOWS; flow++) {
          const own = heavy.filter((packet) => made.flowOf[packet] === flow);
          if (own.some((packet, index) => index > 0 && packet < (own[index - 1] as number))) return false;
        }
        return true;
      }),
      { numRuns: 300 },
    );
  });

  t.test(`${name}: Coalescer orders entries by their first packets`, async () => {
    fc.assert(
      fc.property(burst, (made) => {
        const heads = coalesce(made, uso).map(({ packets }) => packets[0] as number);
        return heads.every((head, index) => index === 0 || head > (heads[index - 1] as number));
      }),
    );
  });

  t.test(`${name}: Coalescer makes superpackets that a kernel accepts`, async () => {
    let superpackets = 0;
    fc.assert(
      fc.property(burst, (made) => {
        for (const entry of coalesce(made, uso)) {
          if (entry.gsoSize === 0) continue;
          superpackets++;
          const whole = untagged(entry.bytes);
          const { ip, transport, payload, end, checksum, protocol, version } = layoutOf(whole);
          const view = viewOf(whole);
          const total = end - payload;
          const valid =
            end === whole.length &&
            end - ip <= 65535 + (version === 6 ? 40 : 0) &&
            (uso || protocol === 6) &&
            (version === 6 || slowSum(whole.slice(ip, transport)) === 0xffff) &&
            (protocol === 6 || view.getUint16(transport + 4) === end - transport) &&
            view.getUint16(checksum) === slowSum(pseudoHeader(whole)) &&
            Math.ceil(total / entry.gsoSize) === entry.packets.length &&
            entry.packets.length <= 64 &&
            naiveSegments(whole, entry.gsoSize).every(checksumsVerify);
          if (!valid) return false;
        }
        return true;
      }),
    );
    if (superpackets < 50) throw new Error(`only ${superpackets} superpackets: the bursts do not test much`);
  });
}

t.test('Coalescer joins no frame with a wrong checksum', async () => {
  fc.assert(
    fc.property(burst, (made) =>
      coalesce(made, true)
        .filter(({ packets }) => packets.length > 1)
        .every(({ packets }) =>
          packets.every((at) => made.partial[at] || checksumsVerify(untagged(made.frames[at] as Uint8Array))),
        ),
    ),
    { numRuns: 300 },
  );
});

function isPureAck(frame: Uint8Array): boolean {
  const plain = untagged(frame);
  const { protocol, payload, end } = layoutOf(plain);
  return protocol === 6 && payload === end;
}

// Sending: the kernel cuts the GSO runs, over loopback.

const TUNNEL = hex('0800000000000100');

/** Two ends of the underlay: datagrams to `peer` from the transmit sockets arrive at `receiving`. */
interface Wire {
  receiving: number;
  txSockets: readonly number[];
  port: number;
  /** As the batch has it. */
  peer: number;
  codec: (arena: Arena) => SockaddrCodec;
}

async function wire(from: UnderlayAddress, to: UnderlayAddress, text: string): Promise<Wire> {
  const port = await freePort(text);
  const [receiving] = openUdpSockets(to, port, 1) as [number];
  const txSockets = openTxSockets(from);
  t.teardown(() => {
    for (const fd of [receiving, ...txSockets]) close(fd);
  });
  if (!isIpv6Address(to))
    return { receiving, txSockets, port, peer: to, codec: (arena) => new Ipv4SockaddrCodec(arena) };
  const addresses = new Ipv6Addresses();
  const peer = addresses.add(to);
  return { receiving, txSockets, port, peer, codec: (arena) => new Ipv6SockaddrCodec(arena, addresses) };
}

const WIRES = {
  IPv4: await wire(ipv4('127.0.0.1'), ipv4('127.0.0.2'), '127.0.0.1'),
  IPv6: await wire(ipv6('::1'), ipv6('::1'), '::1'),
};

function portOn(kit: Kit, { receiving, txSockets, port, codec }: Wire, gso: boolean): UdpPort {
  return new UdpPort(
    kit.arena,
    {
      fd: receiving,
      txSockets,
      codec: codec(kit.arena),
      port,
      tunnelLength: TUNNEL.length,
      linkLength: ETHERNET_LENGTH,
      kernelPeers: true,
      maxRun: gso ? 64 : 1,
      receiveMessages: 16,
      maxBatch: 16,
    },
    kit.checksum,
    kit.counters,
    () => {},
  );
}

interface Sent {
  frame: Uint8Array;
  gsoSize: number;
  vlan: boolean;
}

const words = fc.nat(10).map((count) => new Uint8Array(count * 4).fill(1));
const sent: fc.Arbitrary<Sent> = fc
  .record({
    make: fc.constantFrom(tcpFrame, udpFrame),
    options: fc.record({
      ipv6: fc.boolean(),
      ipOptions: words,
      tcpOptions: words,
      flags: fc.nat(255),
      sequence: fc.nat(0xffffffff),
      identification: fc.nat(0xffff),
    }),
    length: fc.integer({ min: 1, max: 12_000 }),
    segments: fc.integer({ min: 0, max: 12 }),
    vlan: fc.boolean(),
  })
  .map(({ make, options, length, segments, vlan }) => ({
    frame: make({ ...options, payload: pattern(segments === 0 ? Math.min(length, 200) : length, length) }),
    gsoSize: segments === 0 ? 0 : Math.ceil(length / segments),
    vlan,
  }));

for (const [family, underlay, gso] of [
  ['IPv4', WIRES.IPv4, true],
  ['IPv4', WIRES.IPv4, false],
  ['IPv6', WIRES.IPv6, true],
  ['IPv6', WIRES.IPv6, false],
] as const) {
  const how = gso ? 'in GSO runs' : 'datagram by datagram';
  t.test(`UdpPort.send ${how} over ${family} equals a naive segmenter`, async () => {
    const near = new Kit(16, 16384, UdpPort.footprint(16));
    const far = new Kit(16, 2048, UdpPort.footprint(16));
    const sender = portOn(near, underlay, gso);
    const receiver = portOn(far, underlay, false);
    fc.assert(
      fc.property(fc.array(sent, { maxLength: 8 }), fc.nat(15), (packets, txSocket) => {
        near.fill([]);
        const expected: string[] = [];
        for (const { frame, gsoSize, vlan } of packets) {
          const index = near.batch.count;
          const whole = gsoSize > 0 ? withPartialChecksum(frame) : frame;
          near.add(concat(TUNNEL, vlan ? tagged(whole) : whole), underlay.peer);
          near.batch.gsoSize[index] = gsoSize;
          near.batch.flow[index] = txSocket << 8;
          for (const part of gsoSize > 0 ? naiveSegments(frame, gsoSize) : [frame]) {
            expected.push(toHex(concat(TUNNEL, vlan ? tagged(part) : part)));
          }
        }
        sender.send(near.batch);
        const came: string[] = [];
        while (receiver.receive(far.batch) >= 0 && far.batch.count > 0)
          came.push(...far.packets().map(toHex));
        return JSON.stringify(came) === JSON.stringify(expected);
      }),
    );
  });
}
