import t from 'tap';
import {
  CE,
  combineEcn,
  decapsulateEcn,
  ECN_DROP,
  ECT_0,
  ECT_1,
  encapsulateEcn,
  NOT_ECT,
} from '../../../../src/dataplane/tunnel/ecn.js';
import { concat, hex, ipv4, toHex, viewOf } from '../../../support/bytes.js';
import { MAC_A, MAC_B, rawFrame, tagged, tcpFrame, udpFrame } from '../../../support/frames.js';
import { Kit, setFdb, setOwnMac } from '../../../support/kit.js';
import { checksumsVerify } from '../../../support/reference.js';

/** Rows: inner; columns: outer Not-ECT, ECT(0), ECT(1), CE. RFC 6040 figure 4. */
const TABLE: [inner: number, results: number[]][] = [
  [NOT_ECT, [NOT_ECT, NOT_ECT, NOT_ECT, ECN_DROP]],
  [ECT_0, [ECT_0, ECT_0, ECT_1, CE]],
  [ECT_1, [ECT_1, ECT_1, ECT_1, CE]],
  [CE, [CE, CE, CE, CE]],
];
const OUTER = [NOT_ECT, ECT_0, ECT_1, CE];
const DSCP = 0xb8;
/** Offset of the IP header in an untagged frame. */
const IP = 14;

type Make = (tos: number, mutate?: (frame: Uint8Array) => void) => Uint8Array;

const makeIpv4: Make = (tos, mutate) =>
  tcpFrame({
    destination: MAC_B,
    source: MAC_A,
    mutate: (frame) => {
      viewOf(frame).setUint8(IP + 1, tos);
      mutate?.(frame);
    },
  });
const makeIpv6: Make = (tos, mutate) =>
  udpFrame({
    ipv6: true,
    destination: MAC_B,
    source: MAC_A,
    mutate: (frame) => {
      viewOf(frame).setUint16(IP, 0x6001 | (tos << 4));
      mutate?.(frame);
    },
  });
const KINDS: [string, Make][] = [
  ['IPv4', makeIpv4],
  ['IPv6', makeIpv6],
];

t.test('the code points are those of RFC 3168', async (t) => {
  t.same([NOT_ECT, ECT_1, ECT_0, CE], [0, 1, 2, 3]);
});

t.test('combineEcn follows RFC 6040 for all 16 pairs', async (t) => {
  for (const [inner, results] of TABLE) {
    t.same(
      OUTER.map((outer) => combineEcn(inner, outer)),
      results,
      `inner ${inner}`,
    );
  }
});

for (const [kind, make] of KINDS) {
  t.test(`decapsulateEcn changes the ECN field of ${kind} and nothing else, checksum included`, async (t) => {
    for (const dscp of [0, DSCP, 0xfc]) {
      for (const [inner, results] of TABLE) {
        for (const [column, outer] of OUTER.entries()) {
          const frame = make(dscp | inner);
          const expected = results[column] as number;
          const original = toHex(frame);
          const kept = decapsulateEcn(viewOf(frame), IP, outer);
          t.equal(kept, expected !== ECN_DROP, `inner ${inner}, outer ${outer}`);
          t.equal(toHex(frame), kept ? toHex(make(dscp | expected)) : original);
          t.ok(checksumsVerify(frame));
        }
      }
    }
  });

  t.test(`encapsulateEcn returns the ECN field of ${kind} without the DSCP`, async (t) => {
    for (const ecn of OUTER) t.equal(encapsulateEcn(viewOf(make(DSCP | ecn)), IP), ecn);
  });
}

t.test('decapsulateEcn keeps the IPv4 checksum right for every TOS', async (t) => {
  for (let tos = 0; tos < 256; tos++) {
    const frame = makeIpv4(tos);
    if (decapsulateEcn(viewOf(frame), IP, CE)) {
      if (toHex(frame) !== toHex(makeIpv4(tos | CE))) t.fail(`TOS ${tos}`);
    }
  }
  t.pass('256 values');
});

// Which frames have an ECN field, at the two ends of a VXLAN tunnel.

const VXLAN = hex('0800000000000100');
const PEER = ipv4('192.168.77.2');

/** Returns the outer TOS that a frame is sent with. */
function outerTos(frame: Uint8Array): number {
  const kit = new Kit(1);
  const tunnel = kit.tunnel();
  setFdb(tunnel, MAC_B, PEER);
  kit.fill([frame]);
  tunnel.encapsulate(kit.batch);
  t.equal(kit.batch.count, 1);
  return kit.batch.tos[0];
}

/** Returns the frame that arrives when the outer header was marked, or undefined for a drop. */
function received(frame: Uint8Array, outer: number): string | undefined {
  const kit = new Kit(1);
  const tunnel = kit.tunnel();
  setFdb(tunnel, MAC_A, PEER);
  setOwnMac(tunnel, MAC_B);
  kit.fill([concat(VXLAN, frame)], PEER);
  kit.batch.tos[0] = outer;
  tunnel.decapsulate(kit.batch);
  if (kit.batch.count === 1) return toHex(kit.packet(0));
  t.same(kit.counted(), { rx_drop_ecn: 1 });
  return undefined;
}

const PROTOCOL = { IPv4: IP + 9, IPv6: IP + 6 };
for (const [kind, make] of KINDS) {
  const variants: [string, Make][] = [
    ['TCP or UDP', make],
    ['a VLAN tag', (tos) => tagged(make(tos))],
    [
      'another protocol',
      (tos) => make(tos, (frame) => frame.fill(1, PROTOCOL[kind as 'IPv4'], PROTOCOL[kind as 'IPv4'] + 1)),
    ],
    ['a whole IP header and nothing else', (tos) => make(tos).slice(0, IP + (kind === 'IPv4' ? 20 : 40))],
  ];
  if (kind === 'IPv4') {
    variants.push([
      'a first fragment',
      (tos) => make(tos, (frame) => viewOf(frame).setUint16(IP + 6, 0x2000)),
    ]);
    variants.push(['a later fragment', (tos) => make(tos, (frame) => viewOf(frame).setUint16(IP + 6, 100))]);
  }
  for (const [variant, makeVariant] of variants) {
    t.test(`a VXLAN tunnel carries the ECN field of ${kind} with ${variant}`, async (t) => {
      t.equal(outerTos(makeVariant(DSCP | ECT_0)), ECT_0);
      t.equal(received(makeVariant(DSCP | ECT_0), CE), toHex(makeVariant(DSCP | CE)));
      t.equal(received(makeVariant(DSCP), CE), undefined);
    });
  }
}

t.test('a VXLAN tunnel leaves a frame without a whole IP header unchanged', async (t) => {
  const raw = rawFrame(MAC_B, MAC_A);
  const ce4 = makeIpv4(CE);
  const ce6 = makeIpv6(CE);
  const wrongVersion = ce4.slice();
  wrongVersion[IP] = 0x65;
  const frames = [raw, raw.slice(0, 14), ce4.slice(0, 33), ce6.slice(0, 53), wrongVersion];
  for (const frame of [...frames, tagged(ce4.slice(0, 33)), tagged(ce6.slice(0, 53)), tagged(tagged(ce4))]) {
    t.equal(outerTos(frame), NOT_ECT);
    t.equal(received(frame, CE), toHex(frame));
  }
});
