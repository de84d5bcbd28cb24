// The messages that reach sendmmsg are recorded, not sent.

import t from 'tap';
import { GsoPlanner } from '../../../../src/dataplane/io/gso-planner.js';
import { Sender } from '../../../../src/dataplane/io/sender.js';
import { Ipv4SockaddrCodec } from '../../../../src/dataplane/io/sockaddr-codec.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { concat, hex, ipv4, pattern, toHex } from '../../../support/bytes.js';
import { rawFrame, tcpFrame } from '../../../support/frames.js';
import { gathered, segmentSize } from '../../../support/kernel-structures.js';
import { Kit } from '../../../support/kit.js';
import { naiveSegments, withPartialChecksum } from '../../../support/reference.js';

const VXLAN = hex('0800000000000100');
const PEER = ipv4('192.168.77.2');
const MESSAGE = 64n;

interface Message {
  payload: string;
  /** UDP_SEGMENT; 0 for a single datagram. */
  size: number;
}

interface Rig {
  kit: Kit;
  planner: GsoPlanner;
  /** The messages of each sendmmsg. */
  calls: Message[][];
}

function rig({ capacity = 192, slotSize = 2048, maxRun = 64 } = {}): Rig {
  const kit = new Kit(capacity, slotSize, GsoPlanner.FOOTPRINT + Sender.FOOTPRINT);
  const { arena, checksum, counters } = kit;
  const codec = new Ipv4SockaddrCodec(arena);
  const calls: Message[][] = [];
  const options = {
    txSockets: [-1],
    codec,
    port: 8472,
    tunnelLength: VXLAN.length,
    linkLength: ETHERNET_LENGTH,
    maxRun,
  };
  const sender = new Sender(
    arena,
    options,
    counters,
    () => {},
    (_, first, count) => {
      calls.push(
        Array.from({ length: count }, (_, index) => {
          const message = Number(first + BigInt(index) * MESSAGE) - arena.base;
          return { payload: toHex(gathered(arena, message)), size: segmentSize(arena, message) };
        }),
      );
      return count;
    },
  );
  return { kit, planner: new GsoPlanner(arena, checksum, sender, options, counters), calls };
}

/** Plans packets of these sizes to one peer; returns the datagrams of each message. */
function planned(sizes: readonly number[], options: Parameters<typeof rig>[0] = {}): number[] {
  const { kit, planner, calls } = rig(options);
  kit.fill(
    sizes.map((size, index) => pattern(size, index)),
    PEER,
  );
  for (let i = 0; i < kit.batch.count; i++) planner.add(kit.batch, i);
  planner.flush();
  t.equal(
    calls
      .flat()
      .map(({ payload }) => payload)
      .join(''),
    kit.packets().map(toHex).join(''),
  );
  return calls.flat().map(({ payload, size }) => (size === 0 ? 1 : Math.ceil(payload.length / 2 / size)));
}

function equal(count: number, size: number): number[] {
  return Array<number>(count).fill(size);
}

t.test('GsoPlanner makes one run of equally sized datagrams; a shorter one ends the run', async (t) => {
  t.same(planned([60, 60, 60, 40, 60, 70, 70, 70, 30, 30, 30]), [4, 1, 4, 2]);
});

t.test('GsoPlanner limits a run to the datagrams that the kernel accepts', async (t) => {
  t.same(planned(equal(64, 100), { maxRun: 64 }), [64]);
  t.same(planned(equal(64, 100), { maxRun: 63 }), [63, 1]);
  t.same(planned(equal(130, 100), { maxRun: 63 }), [63, 63, 4]);
});

t.test('GsoPlanner limits a run to 65507 bytes', async (t) => {
  t.same(planned(equal(8, 8962), { slotSize: 9000 }), [7, 1]);
  t.same(planned([65_507, 65_507], { slotSize: 65_600, capacity: 2 }), [1, 1]);
});

t.test('GsoPlanner makes no runs at offload level none', async (t) => {
  t.same(planned(equal(3, 60), { maxRun: 1 }), [1, 1, 1]);
});

t.test('GsoPlanner starts a new run for another peer or another TOS', async (t) => {
  const { kit, planner, calls } = rig();
  kit.fill(
    equal(6, 60).map((size) => pattern(size)),
    PEER,
  );
  kit.batch.address[1] = ipv4('192.168.77.3');
  kit.batch.tos[4] = 2;
  kit.batch.tos[5] = 2;
  for (let i = 0; i < 6; i++) planner.add(kit.batch, i);
  planner.flush();
  t.same(
    calls.flat().map(({ payload }) => payload.length / 2),
    [60, 60, 120, 120],
  );
});

t.test('GsoPlanner lets the segments of one superpacket extend the run of another', async (t) => {
  const { kit, planner, calls } = rig({ slotSize: 9000 });
  const wholes = [3000, 3000, 2500, 3000].map((size, index) =>
    tcpFrame({ payload: pattern(size, index), identification: index }),
  );
  kit.fill([]);
  for (const whole of wholes) {
    kit.add(concat(VXLAN, withPartialChecksum(whole)), PEER);
    kit.batch.gsoSize[kit.batch.count - 1] = 1000;
  }
  for (let i = 0; i < wholes.length; i++) planner.add(kit.batch, i);
  planner.flush();
  const segments = wholes.map((whole) =>
    naiveSegments(whole, 1000).map((segment) => toHex(concat(VXLAN, segment))),
  );
  const size = VXLAN.length + 54 + 1000;
  t.same(calls, [
    [
      { payload: segments.slice(0, 3).flat().join(''), size },
      { payload: segments.slice(3).flat().join(''), size },
    ],
  ]);
});

t.test('GsoPlanner drops and counts a superpacket that is neither TCP nor UDP', async (t) => {
  const { kit, planner, calls } = rig();
  kit.fill([concat(VXLAN, rawFrame('02:00:00:00:00:0b', '02:00:00:00:00:0a')), pattern(10)], PEER);
  kit.batch.gsoSize[0] = 1400;
  planner.add(kit.batch, 0);
  planner.add(kit.batch, 1);
  planner.flush();
  t.same(calls, [[{ payload: toHex(pattern(10)), size: 0 }]]);
  t.same(kit.counted(), { tx_drop_unsegmentable: 1, tx_packets: 1, tx_bytes: 10 - VXLAN.length });
});

t.test('GsoPlanner sends early when its tables are full', async (t) => {
  const sizes = Array.from({ length: 90 }, (_, index) => 200 + index);
  t.same(planned(sizes), equal(90, 1));
  const { kit, planner, calls } = rig({ slotSize: 9000, capacity: 60 });
  const expected: string[] = [];
  kit.fill([]);
  for (let i = 0; i < 60; i++) {
    const whole = tcpFrame({ payload: pattern(1600, i), identification: i });
    kit.add(concat(VXLAN, withPartialChecksum(whole)), PEER);
    kit.batch.gsoSize[i] = 100;
    expected.push(...naiveSegments(whole, 100).map((segment) => toHex(concat(VXLAN, segment))));
    planner.add(kit.batch, i);
  }
  planner.flush();
  t.ok(calls.length > 1);
  t.equal(
    calls
      .flat()
      .map(({ payload }) => payload)
      .join(''),
    expected.join(''),
  );
});
