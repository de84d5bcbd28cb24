import t from 'tap';
import { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL } from '../../../../src/dataplane/memory/batch.js';
import { PartialChecksum } from '../../../../src/dataplane/offload/partial-checksum.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { concat, hex, pattern, toHex, viewOf } from '../../../support/bytes.js';
import { type FrameOptions, tcpFrame, udpFrame } from '../../../support/frames.js';
import { Kit } from '../../../support/kit.js';
import {
  checksumsVerify,
  layoutOf,
  pseudoHeader,
  slowSum,
  withPartialChecksum,
} from '../../../support/reference.js';

const MTU = 1450;
const kit = new Kit(1, 65536);

interface Detected {
  checksum: number;
  gsoSize: number;
}

function detect(frame: Uint8Array, mtu = MTU): Detected {
  const partial = new PartialChecksum(kit.arena, kit.checksum, kit.counters, ETHERNET_LENGTH + mtu);
  kit.fill([frame]);
  t.ok(kit.locate(0));
  partial.detect(kit.batch, 0);
  return { checksum: kit.batch.checksum[0], gsoSize: kit.batch.gsoSize[0] };
}

function complete(frame: Uint8Array): Uint8Array {
  const partial = new PartialChecksum(kit.arena, kit.checksum, kit.counters, ETHERNET_LENGTH + MTU);
  kit.fill([frame]);
  t.ok(kit.locate(0));
  partial.complete(kit.batch, 0, partial.detect(kit.batch, 0));
  return kit.packet(0);
}

const KINDS: [string, (options: FrameOptions) => Uint8Array, FrameOptions][] = [
  ['TCP over IPv4', tcpFrame, {}],
  [
    'TCP over IPv4 with options',
    tcpFrame,
    { ipOptions: hex('01010101'), tcpOptions: new Uint8Array(12).fill(1) },
  ],
  ['TCP over IPv6', tcpFrame, { ipv6: true }],
  ['UDP over IPv4', udpFrame, {}],
  ['UDP over IPv6', udpFrame, { ipv6: true }],
];

for (const [kind, build, options] of KINDS) {
  t.test(`detect marks a partial checksum of ${kind} and no complete one`, async (t) => {
    for (const length of [0, 1, 2, 99, 100, 1300]) {
      const frame = build({ ...options, payload: pattern(length) });
      t.same(detect(frame), { checksum: CHECKSUM_COMPLETE, gsoSize: 0 }, `complete, ${length} B`);
      t.same(
        detect(withPartialChecksum(frame)),
        { checksum: CHECKSUM_PARTIAL, gsoSize: 0 },
        `partial, ${length} B`,
      );
    }
  });

  t.test(`complete writes the checksum of ${kind} and changes nothing else`, async (t) => {
    for (const length of [0, 1, 2, 99, 100, 1300]) {
      const frame = build({ ...options, payload: pattern(length) });
      t.equal(toHex(complete(withPartialChecksum(frame))), toHex(frame), `${length} B`);
    }
  });
}

t.test('detect changes no byte', async (t) => {
  const frame = withPartialChecksum(tcpFrame({ payload: pattern(9000) }));
  detect(frame);
  t.equal(toHex(kit.packet(0)), toHex(frame));
});

t.test(
  'detect makes a partial TCP packet larger than the MTU a superpacket whose segments fill the MTU',
  async (t) => {
    for (const [options, headers] of [
      [{}, 40],
      [{ tcpOptions: new Uint8Array(12).fill(1) }, 52],
      [{ ipOptions: hex('01010101') }, 44],
      [{ ipv6: true }, 60],
    ] as const) {
      const largest = MTU - headers;
      const frame = (length: number): Uint8Array =>
        withPartialChecksum(tcpFrame({ ...options, payload: pattern(length) }));
      t.equal(detect(frame(largest)).gsoSize, 0, `${headers} B of headers: the MTU itself fits`);
      t.equal(detect(frame(largest + 1)).gsoSize, largest, `${headers} B of headers: one byte more does not`);
      t.equal(detect(frame(60_000)).gsoSize, largest);
    }
  },
);

t.test('detect leaves a large frame with a complete checksum as one packet', async (t) => {
  t.same(detect(tcpFrame({ payload: pattern(8000) })), { checksum: CHECKSUM_COMPLETE, gsoSize: 0 });
});

t.test('detect leaves a partial UDP packet as one datagram, however large', async (t) => {
  t.same(detect(withPartialChecksum(udpFrame({ payload: pattern(8000) }))), {
    checksum: CHECKSUM_PARTIAL,
    gsoSize: 0,
  });
});

t.test('detect makes no superpacket when the headers fill the MTU', async (t) => {
  const frame = withPartialChecksum(tcpFrame({ payload: pattern(100) }));
  t.equal(detect(frame, 39).gsoSize, 0);
  t.equal(detect(frame, 40).gsoSize, 0);
  t.equal(detect(frame, 47).gsoSize, 0, 'smaller segments than the kernel makes');
  t.equal(detect(frame, 48).gsoSize, 8);
});

t.test('detect and complete ignore padding behind the IP packet', async (t) => {
  const frame = tcpFrame({ payload: pattern(3) });
  const padded = concat(withPartialChecksum(frame), new Uint8Array(20).fill(0xee));
  t.equal(detect(padded).checksum, CHECKSUM_PARTIAL);
  t.equal(toHex(complete(padded)), toHex(concat(frame, new Uint8Array(20).fill(0xee))));
});

t.test('detect does not mark a UDP packet without a checksum', async (t) => {
  const frame = udpFrame();
  viewOf(frame).setUint16(layoutOf(frame).checksum, 0);
  t.equal(detect(frame).checksum, CHECKSUM_COMPLETE);
});

/** A frame whose last two payload bytes were chosen so that `holds` is true. */
function search(
  build: (payload: Uint8Array) => Uint8Array,
  holds: (frame: Uint8Array) => boolean,
): Uint8Array {
  const payload = pattern(10);
  for (let word = 0; word < 65536; word++) {
    viewOf(payload).setUint16(8, word);
    const frame = build(payload);
    if (holds(frame)) return frame;
  }
  throw new Error('no such frame');
}

t.test('complete writes a UDP checksum of 0 as 0xffff', async (t) => {
  const frame = search(
    (payload) => udpFrame({ payload }),
    (candidate) => viewOf(candidate).getUint16(layoutOf(candidate).checksum) === 0xffff,
  );
  t.equal(toHex(complete(withPartialChecksum(frame))), toHex(frame));
  t.ok(checksumsVerify(frame));
});

t.test('complete writes a TCP checksum of 0 as 0', async (t) => {
  const frame = search(
    (payload) => tcpFrame({ payload }),
    (candidate) => viewOf(candidate).getUint16(layoutOf(candidate).checksum) === 0,
  );
  t.equal(toHex(complete(withPartialChecksum(frame))), toHex(frame));
});

t.test(
  'detect marks a complete checksum that looks partial by chance, and complete restores it',
  async (t) => {
    const frame = search(
      (payload) => tcpFrame({ payload }),
      (candidate) =>
        viewOf(candidate).getUint16(layoutOf(candidate).checksum) === slowSum(pseudoHeader(candidate)),
    );
    t.equal(detect(frame).checksum, CHECKSUM_PARTIAL);
    t.equal(toHex(complete(frame)), toHex(frame));
  },
);
