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
import { concat, toHex, viewOf } from '../../../support/bytes.js';
import { rawFrame, tagged, tcpFrame, udpFrame } from '../../../support/frames.js';
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

const KINDS: [string, (tos: number) => Uint8Array, (frame: Uint8Array) => number][] = [
  [
    'IPv4',
    (tos) => tcpFrame({ mutate: (frame) => viewOf(frame).setUint8(15, tos) }),
    (frame) => viewOf(frame).getUint8(15),
  ],
  [
    'IPv6',
    (tos) => udpFrame({ ipv6: true, mutate: (frame) => viewOf(frame).setUint16(14, 0x6001 | (tos << 4)) }),
    (frame) => (viewOf(frame).getUint16(14) >> 4) & 0xff,
  ],
];

t.test('the code points', async (t) => {
  t.same([NOT_ECT, ECT_1, ECT_0, CE], [0, 1, 2, 3]);
});

t.test('all 16 pairs', async (t) => {
  for (const [inner, results] of TABLE) {
    t.same(
      OUTER.map((outer) => combineEcn(inner, outer)),
      results,
      `inner ${inner}`,
    );
  }
});

for (const [kind, make, tosOf] of KINDS) {
  t.test(`${kind}: all 16 pairs on frames, DSCP and all else kept, the checksum right`, async (t) => {
    for (const dscp of [0, DSCP, 0xfc]) {
      for (const [inner, results] of TABLE) {
        for (const [column, outer] of OUTER.entries()) {
          const frame = make(dscp | inner);
          const expected = results[column] as number;
          const original = toHex(frame);
          const kept = decapsulateEcn(viewOf(frame), 0, frame.length, outer);
          t.equal(kept, expected !== ECN_DROP, `inner ${inner}, outer ${outer}`);
          t.equal(toHex(frame), kept ? toHex(make(dscp | expected)) : original);
          t.ok(checksumsVerify(frame));
        }
      }
    }
  });

  t.test(`${kind}: a VLAN tag is no obstacle`, async (t) => {
    const frame = tagged(make(DSCP | ECT_0));
    t.equal(encapsulateEcn(viewOf(frame), 0, frame.length), ECT_0);
    t.equal(decapsulateEcn(viewOf(frame), 0, frame.length, CE), true);
    t.equal(toHex(frame), toHex(tagged(make(DSCP | CE))));
    const plain = tagged(make(DSCP));
    t.equal(decapsulateEcn(viewOf(plain), 0, plain.length, CE), false);
  });

  t.test(`${kind}: the outer header gets the inner ECN field and no DSCP`, async (t) => {
    for (const ecn of OUTER) {
      const frame = make(DSCP | ecn);
      t.equal(encapsulateEcn(viewOf(frame), 0, frame.length), ecn);
      t.equal(tosOf(frame), DSCP | ecn);
    }
  });
}

t.test('the IPv4 checksum stays right for every TOS', async (t) => {
  const [, make] = KINDS[0] as (typeof KINDS)[number];
  for (let tos = 0; tos < 256; tos++) {
    const frame = make(tos);
    if (decapsulateEcn(viewOf(frame), 0, frame.length, CE)) {
      if (toHex(frame) !== toHex(make(tos | CE))) t.fail(`TOS ${tos}`);
    }
  }
  t.pass('256 of them');
});

t.test('a frame that is no IP, or too short for one, is left alone', async (t) => {
  const raw = rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0a');
  const short4 = tcpFrame().slice(0, 33);
  const short6 = tcpFrame({ ipv6: true }).slice(0, 53);
  for (const frame of [raw, short4, short6, tagged(short4), tagged(short6), raw.slice(0, 14)]) {
    const before = toHex(frame);
    const view = viewOf(concat(frame, new Uint8Array(64)));
    t.equal(encapsulateEcn(view, 0, frame.length), NOT_ECT);
    t.equal(decapsulateEcn(view, 0, frame.length, CE), true);
    t.equal(toHex(frame), before);
  }
});
