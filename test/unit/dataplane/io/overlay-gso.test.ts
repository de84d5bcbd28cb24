// The TAP queue here is one end of a socket pair that keeps packet boundaries, as a TAP queue does; the kernel's side is
// the other end: every packet with a virtio-net header of 10 bytes.

import t, { type Test } from 'tap';
import { OverlayGsoPort } from '../../../../src/dataplane/io/overlay-gso.js';
import { DRAINED, MORE } from '../../../../src/dataplane/io/port.js';
import { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL } from '../../../../src/dataplane/memory/batch.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { VNET_GSO_UDP_L4 } from '../../../../src/dataplane/wire/virtio-net.js';
import { close, writev } from '../../../../src/sys/ffi.js';
import { concat, hex, pattern, toHex } from '../../../support/bytes.js';
import {
  type FrameOptions,
  packetOf,
  rawFrame,
  tagged,
  tcpFrame,
  udpFrame,
} from '../../../support/frames.js';
import { Kit } from '../../../support/kit.js';
import { checksumsVerify, layoutOf, naiveSegments, withPartialChecksum } from '../../../support/reference.js';
import { receivePacket, sendPacket, socketpair } from '../../../support/socketpair.js';

const EBADF = 9;
const ENOMEM = 12;
const EINVAL = 22;
const PLAIN = hex('00000000000000000000');

interface Rig {
  /** The errnos that the port reported. */
  fallbacks: number[];
  kit: Kit;
  port: OverlayGsoPort;
  /** What the kernel does at its end. */
  send(header: Uint8Array, frame: Uint8Array): void;
  receive(): { header: string; frame: Uint8Array } | undefined;
}

function rig(
  t: Test,
  {
    capacity = 128,
    slotSize = 2048,
    gone = false,
    uso = true,
    mtu = 1450,
    linkLength = ETHERNET_LENGTH,
    superpackets = true,
    refuse = (_superpacket: boolean, _isUdp: boolean): number => 0,
  } = {},
): Rig {
  const kit = new Kit(capacity, slotSize);
  const [near, far] = socketpair();
  t.teardown(() => {
    close(near);
    close(far);
  });
  const fallbacks: number[] = [];
  return {
    fallbacks,
    kit,
    port: new OverlayGsoPort(
      kit.arena,
      { fd: gone ? -1 : near, linkLength, podMtu: mtu, maxBatch: capacity, uso, superpackets },
      kit.checksum,
      kit.counters,
      kit.batch,
      (errno) => fallbacks.push(errno),
      (fd, vector, count) => {
        const header = Number(kit.arena.view.getBigUint64(Number(vector) - kit.arena.base, true));
        const type = kit.arena.view.getUint8(header - kit.arena.base + 1);
        const errno = refuse(type !== 0, type === VNET_GSO_UDP_L4);
        return errno === 0 ? writev(fd, vector, count) : -errno;
      },
    ),
    send: (header, frame) => sendPacket(far, concat(header, frame)),
    receive: () => {
      const packet = receivePacket(far);
      return packet && { header: toHex(packet.slice(0, 10)), frame: packet.slice(10) };
    },
  };
}

t.test(
  'OverlayGsoPort.receive reads all waiting frames, each into its slot without its virtio-net header',
  async (t) => {
    const { kit, port, send } = rig(t);
    const frames = [tcpFrame(), udpFrame({ ipv6: true }), rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0a')];
    for (const frame of frames) send(PLAIN, frame);
    t.equal(port.receive(kit.batch), DRAINED);
    t.same(kit.packets().map(toHex), frames.map(toHex));
    for (let i = 0; i < 3; i++) {
      t.same(
        [kit.batch.offset[i], kit.batch.gsoSize[i], kit.batch.checksum[i]],
        [kit.batch.slot(i), 0, CHECKSUM_COMPLETE],
      );
    }
  },
);

t.test('OverlayGsoPort.receive stops at the capacity of the batch', async (t) => {
  const { kit, port, send } = rig(t, { capacity: 2 });
  for (let i = 0; i < 3; i++) send(PLAIN, tcpFrame({ identification: i }));
  t.equal(port.receive(kit.batch), MORE);
  t.equal(kit.batch.count, 2);
  t.equal(port.receive(kit.batch), DRAINED);
  t.equal(kit.batch.count, 1);
});

t.test('OverlayGsoPort.receive sets the GSO size of a superpacket', async (t) => {
  const { kit, port, send } = rig(t, { slotSize: 65600, capacity: 4 });
  const tcp = withPartialChecksum(tcpFrame({ payload: pattern(60_000) }));
  const udp = withPartialChecksum(udpFrame({ ipv6: true, payload: pattern(5000) }));
  // hdr_len must not be used; it is 0 here.
  send(hex('01 01 0000 7805 2200 1000'), tcp);
  send(hex('01 05 0000 e803 3600 0600'), udp);
  send(hex('01 81 0000 7805 2200 1000'), tcp);
  port.receive(kit.batch);
  t.same(kit.packets().map(toHex), [tcp, udp, tcp].map(toHex));
  t.same([...kit.batch.gsoSize.slice(0, 3)], [1400, 1000, 1400]);
  t.same([...kit.batch.checksum.slice(0, 3)], [CHECKSUM_PARTIAL, CHECKSUM_PARTIAL, CHECKSUM_PARTIAL]);
});

t.test('OverlayGsoPort.receive completes a checksum that the pod left to the device', async (t) => {
  const { kit, port, send } = rig(t);
  const frames = [tcpFrame, udpFrame].flatMap((make) => [
    make(),
    make({ ipv6: true }),
    make({ payload: pattern(33) }),
  ]);
  for (const frame of frames) {
    const { transport, protocol } = layoutOf(frame);
    send(
      Uint8Array.of(1, 0, 0, 0, 0, 0, transport, 0, protocol === 6 ? 16 : 6, 0),
      withPartialChecksum(frame),
    );
  }
  port.receive(kit.batch);
  t.same(kit.packets().map(toHex), frames.map(toHex));
});

t.test('OverlayGsoPort.receive ignores a checksum offset outside the frame', async (t) => {
  const { kit, port, send } = rig(t);
  const frame = tcpFrame();
  send(hex('01 00 0000 0000 ff00 1000'), frame);
  send(hex('01 00 0000 0000 2200 ffff'), frame);
  port.receive(kit.batch);
  t.same(kit.packets().map(toHex), [toHex(frame), toHex(frame)]);
});

t.test(
  'OverlayGsoPort.receive drops a superpacket without a GSO size and counts tx_drop_unsegmentable',
  async (t) => {
    const { kit, port, send } = rig(t);
    const frame = tcpFrame();
    send(hex('01 01 0000 0000 2200 1000'), withPartialChecksum(frame));
    send(PLAIN, frame);
    port.receive(kit.batch);
    t.same(kit.packets().map(toHex), [toHex(frame)]);
    t.same(kit.counted(), { tx_drop_unsegmentable: 1 });
  },
);

t.test('OverlayGsoPort.receive returns the negated errno of a lost device', async (t) => {
  const { kit, port } = rig(t, { gone: true });
  t.equal(port.receive(kit.batch), -EBADF);
  t.equal(kit.batch.count, 0);
});

t.test('OverlayGsoPort.send writes single frames unchanged, with an empty virtio-net header', async (t) => {
  const { kit, port, receive } = rig(t);
  const frames = [tcpFrame(), udpFrame(), rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0a')];
  kit.fill(frames);
  port.send(kit.batch);
  for (const frame of frames) {
    const packet = receive();
    t.equal(packet?.header, toHex(PLAIN));
    t.equal(toHex(packet?.frame ?? PLAIN), toHex(frame));
  }
  t.equal(receive(), undefined);
  const bytes = frames.reduce((sum, { length }) => sum + length, 0);
  t.same(kit.counted(), { rx_packets: 3, rx_bytes: bytes });
});

const SIZE = 1000;
for (const [kind, make, options, header] of [
  ['TCP over IPv4', tcpFrame, {}, '01 01 3600 e803 2200 1000'],
  ['TCP over IPv6', tcpFrame, { ipv6: true }, '01 04 4a00 e803 3600 1000'],
  ['TCP with options', tcpFrame, { tcpOptions: new Uint8Array(12).fill(1) }, '01 01 4200 e803 2200 1000'],
  ['UDP over IPv4', udpFrame, {}, '01 05 2a00 e803 2200 0600'],
  ['UDP over IPv6', udpFrame, { ipv6: true }, '01 05 3e00 e803 3600 0600'],
] as [string, (options: FrameOptions) => Uint8Array, FrameOptions, string][]) {
  const frames = [0, 1, 2].map((index) =>
    make({
      ...options,
      payload: pattern(index < 2 ? SIZE : 10, index + 1),
      sequence: index * SIZE,
      identification: index,
    }),
  );

  t.test(
    `${kind}: send writes consecutive segments as one superpacket with its virtio-net header`,
    async (t) => {
      const { kit, port, receive } = rig(t);
      kit.fill(frames);
      port.send(kit.batch);
      const packet = receive();
      t.equal(packet?.header, toHex(hex(header)));
      t.same(naiveSegments(packet?.frame ?? PLAIN, SIZE).map(toHex), frames.map(toHex));
      t.equal(receive(), undefined);
      const bytes = frames.reduce((sum, { length }) => sum + length, 0);
      t.match(kit.counted(), { rx_packets: 3, rx_coalesced: 3, rx_bytes: bytes });
    },
  );

  t.test(`${kind}: all offsets are 14 less without an Ethernet header, as on a TUN`, async (t) => {
    const { kit, port, receive } = rig(t, { linkLength: 0 });
    kit.fill(frames.map(packetOf));
    port.send(kit.batch);
    const expected = hex(header);
    for (const at of [2, 6]) expected[at] = (expected[at] as number) - 14;
    const packet = receive();
    t.equal(packet?.header, toHex(expected));
    const frame = concat((frames[0] as Uint8Array).slice(0, 14), packet?.frame ?? PLAIN);
    t.same(naiveSegments(frame, SIZE).map(toHex), frames.map(toHex));
    t.equal(receive(), undefined);
  });

  t.test(`${kind}: a VLAN tag adds 4 to the offsets`, async (t) => {
    const { kit, port, receive } = rig(t);
    kit.fill(frames.map((frame) => tagged(frame)));
    port.send(kit.batch);
    const expected = hex(header);
    for (const at of [2, 6]) expected[at] = (expected[at] as number) + 4;
    t.equal(receive()?.header, toHex(expected));
  });

  t.test(`${kind}: send writes the superpacket of a kernel peer unchanged`, async (t) => {
    const ETHERNET = 14;
    const mtu = (frames[0] as Uint8Array).length - ETHERNET;
    const { kit, port, receive } = rig(t, { slotSize: 8192, capacity: 4, mtu });
    const whole = withPartialChecksum(make({ ...options, payload: pattern(3500) }));
    const isTcp = make === tcpFrame;
    kit.fill([whole]);
    // The underlay port knows the segment size of UDP; for TCP it is the size that fills the MTU.
    if (!isTcp) kit.batch.gsoSize[0] = SIZE;
    port.send(kit.batch);
    const packet = receive();
    t.equal(packet?.header, toHex(hex(header)));
    t.equal(toHex(packet?.frame ?? PLAIN), toHex(whole));
    const segments = naiveSegments(whole, SIZE);
    t.same(kit.counted(), {
      rx_packets: 4,
      rx_bytes: segments.reduce((sum, { length }) => sum + length, 0),
      rx_partial_checksums: 1,
      ...(isTcp && { rx_superpackets: 1 }),
    });
  });

  t.test(`${kind}: send leaves the partial checksum of a single frame to the kernel`, async (t) => {
    const { kit, port, receive } = rig(t);
    const partial = withPartialChecksum(frames[0] as Uint8Array);
    kit.fill([partial]);
    port.send(kit.batch);
    const packet = receive();
    const expected = hex(header);
    expected.set([0, 0, 0, 0, 0], 1);
    t.equal(packet?.header, toHex(expected));
    t.equal(toHex(packet?.frame ?? PLAIN), toHex(partial));
  });
}

t.test('OverlayGsoPort.send writes a UDP superpacket as datagrams on a device without USO', async (t) => {
  for (const ipv6 of [false, true]) {
    const { kit, port, receive } = rig(t, { slotSize: 8192, capacity: 4, uso: false });
    const whole = udpFrame({ ipv6, payload: pattern(3500) });
    kit.fill([withPartialChecksum(whole)]);
    kit.batch.gsoSize[0] = SIZE;
    port.send(kit.batch);
    for (const segment of naiveSegments(whole, SIZE)) {
      const packet = receive();
      t.equal(packet?.header, toHex(PLAIN));
      t.equal(toHex(packet?.frame ?? PLAIN), toHex(segment));
      t.ok(checksumsVerify(segment));
    }
    t.equal(receive(), undefined);
  }
});

t.test('OverlayGsoPort.send writes 64 segments in one call', async (t) => {
  const { kit, port, receive } = rig(t);
  const frames = Array.from({ length: 64 }, (_, index) =>
    tcpFrame({ payload: pattern(SIZE, index), sequence: index * SIZE, identification: index }),
  );
  kit.fill(frames);
  port.send(kit.batch);
  const packet = receive();
  t.same(naiveSegments(packet?.frame ?? PLAIN, SIZE).map(toHex), frames.map(toHex));
  t.equal(receive(), undefined);
  t.match(kit.counted(), { rx_packets: 64, rx_coalesced: 64 });
});

t.test('OverlayGsoPort.send counts by packets what a full or lost device does not accept', async (t) => {
  const frames = [0, 1, 2].map((index) =>
    tcpFrame({ payload: pattern(SIZE, index), sequence: index * SIZE }),
  );
  const gone = rig(t, { gone: true });
  gone.kit.fill([...frames, udpFrame()]);
  gone.port.send(gone.kit.batch);
  t.same(gone.kit.counted(), { rx_drop_device_refused: 4 });
  const full = rig(t);
  // Sends until the socket pair is full.
  for (let i = 0; i < 2000 && full.kit.counted().rx_drop_device_full === undefined; i++) {
    full.kit.fill(frames);
    full.port.send(full.kit.batch);
  }
  t.equal(full.kit.counted().rx_drop_device_full, 3);
});

for (const [kind, make, options] of [
  ['TCP over IPv4', tcpFrame, {}],
  ['TCP over IPv6', tcpFrame, { ipv6: true }],
  ['UDP over IPv4', udpFrame, {}],
  ['UDP over IPv6', udpFrame, { ipv6: true }],
] as [string, (options: FrameOptions) => Uint8Array, FrameOptions][]) {
  const payloads = [pattern(SIZE, 1), pattern(SIZE, 2), pattern(10, 3)];
  // For TCP the segment size is the size that fills the MTU.
  const mtu = make({ ...options, payload: pattern(SIZE) }).length - ETHERNET_LENGTH;
  const refuse = (superpacket: boolean): number => (superpacket ? EINVAL : 0);
  const refusing = () => rig(t, { slotSize: 8192, capacity: 8, mtu, refuse });

  t.test(
    `${kind}: send writes the packets of a refused superpacket one by one, as they arrived`,
    async (t) => {
      const frames = payloads.map((payload, index) =>
        // Only the last segment has PSH, and the first must not keep it from the superpacket.
        make({
          ...options,
          payload,
          sequence: index * SIZE,
          identification: index,
          flags: index === 2 ? 0x18 : 0x10,
        }),
      );
      const { kit, port, receive } = refusing();
      kit.fill(frames);
      port.send(kit.batch);
      for (const frame of frames) {
        const packet = receive();
        t.equal(packet?.header, toHex(PLAIN));
        t.equal(toHex(packet?.frame ?? PLAIN), toHex(frame));
      }
      t.equal(receive(), undefined);
      t.match(kit.counted(), { rx_packets: 3, rx_superpackets_replayed: 1 });
      t.notMatch(kit.counted(), { rx_coalesced: 3 });
    },
  );

  t.test(`${kind}: send writes the segments of a kernel peer's superpacket that is refused`, async (t) => {
    const whole = make({ ...options, payload: pattern(2500) });
    const { kit, port, receive } = refusing();
    kit.fill([withPartialChecksum(whole)]);
    kit.batch.gsoSize[0] = SIZE;
    port.send(kit.batch);
    for (const segment of naiveSegments(whole, SIZE))
      t.equal(toHex(receive()?.frame ?? PLAIN), toHex(segment));
    t.equal(receive(), undefined);
    t.match(kit.counted(), { rx_packets: 3, rx_superpackets_replayed: 1 });
  });
}

t.test('OverlayGsoPort.send replays packets whose partial checksum it left to the kernel', async (t) => {
  const frames = [0, 1, 2].map((index) =>
    withPartialChecksum(
      tcpFrame({ payload: pattern(SIZE, index), sequence: index * SIZE, identification: index }),
    ),
  );
  const { kit, port, receive } = rig(t, { refuse: (superpacket) => (superpacket ? EINVAL : 0) });
  kit.fill(frames);
  port.send(kit.batch);
  // The first packet gets its checksum here, as a segment of a superpacket does.
  t.ok(checksumsVerify(receive()?.frame ?? PLAIN));
  for (const frame of frames.slice(1)) {
    const packet = receive();
    t.equal(packet?.header, toHex(hex('01 00 0000 0000 2200 1000')));
    t.equal(toHex(packet?.frame ?? PLAIN), toHex(frame));
  }
});

/** Sends bursts of three segments and reads them again; returns the frames of the last burst. */
function sendBursts({ kit, port, receive }: Rig, bursts: number, frames = tcpSegments()): Uint8Array[] {
  const received: Uint8Array[] = [];
  for (let i = 0; i < bursts; i++) {
    kit.fill(frames);
    port.send(kit.batch);
    received.length = 0;
    for (let packet = receive(); packet !== undefined; packet = receive()) received.push(packet.frame);
  }
  return received;
}

function tcpSegments(): Uint8Array[] {
  return [0, 1, 2].map((index) => tcpFrame({ payload: pattern(SIZE, index), sequence: index * SIZE }));
}

t.test('OverlayGsoPort stops making UDP superpackets alone when the kernel refuses only those', async (t) => {
  const refusing = rig(t, { refuse: (superpacket, isUdp) => (superpacket && isUdp ? EINVAL : 0) });
  const datagrams = [0, 1, 2].map((index) => udpFrame({ payload: pattern(SIZE, index) }));
  // Accepted TCP superpackets do not make up for refused ones of UDP.
  for (let i = 0; i < 70; i++) {
    sendBursts(refusing, 1);
    t.same(sendBursts(refusing, 1, datagrams).map(toHex), datagrams.map(toHex));
  }
  t.same([refusing.port.superpackets, refusing.fallbacks], [true, []]);
  const { rx_bytes, ...counted } = refusing.kit.counted();
  t.same(counted, { rx_packets: 6 * 70, rx_coalesced: 3 * 70, rx_superpackets_replayed: 64 });
});

t.test('OverlayGsoPort writes the rest of a batch singly once UDP superpackets are refused', async (t) => {
  const refusing = rig(t, { refuse: (superpacket) => (superpacket ? EINVAL : 0) });
  const datagrams = (ipv6: boolean): Uint8Array[] =>
    [0, 1, 2].map((index) => udpFrame({ payload: pattern(SIZE, index), ipv6 }));
  sendBursts(refusing, 63, datagrams(false));
  const both = [...datagrams(false), ...datagrams(true)];
  t.same(sendBursts(refusing, 1, both).map(toHex), both.map(toHex));
  t.match(refusing.kit.counted(), { rx_superpackets_replayed: 64 });
});

t.test('OverlayGsoPort stops making superpackets after 64 refusals and reports it once', async (t) => {
  const refusing = rig(t, { refuse: (superpacket) => (superpacket ? EINVAL : 0) });
  sendBursts(refusing, 63);
  t.same([refusing.port.superpackets, refusing.fallbacks], [true, []]);
  sendBursts(refusing, 10);
  t.same([refusing.port.superpackets, refusing.fallbacks], [false, [EINVAL]]);
  const { rx_bytes, ...counted } = refusing.kit.counted();
  t.same(counted, { rx_packets: 3 * 73, rx_superpackets_replayed: 64, offload_step_downs: 1 });
});

t.test('OverlayGsoPort keeps making superpackets while most are accepted, or memory is short', async (t) => {
  let writes = 0;
  const some = rig(t, { refuse: (superpacket) => (superpacket && writes++ % 3 === 0 ? EINVAL : 0) });
  sendBursts(some, 300);
  t.same([some.port.superpackets, some.fallbacks], [true, []]);
  const scarce = rig(t, { refuse: (superpacket) => (superpacket ? ENOMEM : 0) });
  sendBursts(scarce, 100);
  t.same([scarce.port.superpackets, scarce.fallbacks], [true, []]);
  t.match(scarce.kit.counted(), { rx_superpackets_replayed: 100, rx_packets: 300 });
});

t.test('OverlayGsoPort writes no superpacket to a device that refused one at the start', async (t) => {
  const frames = [0, 1].map((index) => tcpFrame({ payload: pattern(SIZE, index), sequence: index * SIZE }));
  const whole = tcpFrame({ payload: pattern(3000) });
  const { kit, port, receive } = rig(t, { slotSize: 8192, capacity: 4, superpackets: false });
  kit.fill([...frames, withPartialChecksum(frames[0] as Uint8Array), withPartialChecksum(whole)]);
  port.send(kit.batch);
  for (const frame of frames) t.equal(toHex(receive()?.frame ?? PLAIN), toHex(frame));
  t.equal(receive()?.header, toHex(hex('01 00 0000 0000 2200 1000')));
  for (const segment of naiveSegments(whole, 1450 - 40)) {
    const packet = receive();
    t.equal(packet?.header, toHex(PLAIN));
    t.equal(toHex(packet?.frame ?? PLAIN), toHex(segment));
  }
  t.equal(receive(), undefined);
});
