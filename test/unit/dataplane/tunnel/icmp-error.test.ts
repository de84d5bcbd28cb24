import t from 'tap';
import { PacketBatch } from '../../../../src/dataplane/memory/batch.js';
import { IcmpErrors, LARGEST_ERROR } from '../../../../src/dataplane/tunnel/icmp-error.js';
import { hex, ipv4, pattern, toHex, viewOf } from '../../../support/bytes.js';
import { type FrameOptions, packetOf, udpFrame } from '../../../support/frames.js';
import { Kit } from '../../../support/kit.js';
import { slowSum } from '../../../support/reference.js';

const SOURCE = ipv4('10.244.1.0');

interface Rig {
  clock: { time: number; now(): number };
  /** Returns the net unreachable about a packet; undefined when RFC 1812 forbids it. */
  about(packet: Uint8Array): Uint8Array | undefined;
}

function rig(capacity = 1): Rig {
  const kit = new Kit(1, 4096);
  const clock = {
    time: 1000,
    now() {
      return this.time;
    },
  };
  const errors = new IcmpErrors(kit.arena, kit.checksum, SOURCE, clock);
  const replies = new PacketBatch(kit.arena, capacity, LARGEST_ERROR);
  return {
    clock,
    about: (packet) => {
      kit.fill([packet]);
      replies.clear();
      if (!errors.append(replies, 3, 0, kit.batch.offset[0], packet.length)) {
        t.equal(replies.count, 0);
        return undefined;
      }
      return kit.packetsOf(replies)[0];
    },
  };
}

/** Returns a packet of 10.244.1.2 with this change. */
function packet(touch: (packet: DataView) => void = () => {}, options: FrameOptions = {}): Uint8Array {
  return packetOf(udpFrame({ ...options, mutate: (frame) => touch(viewOf(frame.subarray(14))) }));
}

t.test('IcmpErrors quotes as much of the packet as fits into 576 bytes', async (t) => {
  for (const length of [0, 100, 520, 521, 1400]) {
    const original = packet(() => {}, { payload: pattern(length) });
    const error = rig().about(original) as Uint8Array;
    const quoted = Math.min(original.length, 576 - 28);
    t.equal(error.length, 28 + quoted, `${length} B`);
    t.equal(toHex(error.slice(28)), toHex(original.slice(0, quoted)));
    t.equal(viewOf(error).getUint16(2), error.length);
    t.equal(slowSum(error.slice(0, 20)), 0xffff, 'IPv4 checksum');
    t.equal(slowSum(error.slice(20)), 0xffff, 'ICMP checksum');
  }
});

t.test('IcmpErrors reports an echo request but no ICMP error', async (t) => {
  const icmp = (type: number): Uint8Array =>
    packet((view) => {
      view.setUint8(9, 1);
      view.setUint8(20, type);
    });
  for (const type of [3, 4, 5, 11, 12, 30, 255]) t.equal(rig().about(icmp(type)), undefined, `type ${type}`);
  for (const type of [0, 8, 13]) t.ok(rig().about(icmp(type)), `type ${type}`);
  t.equal(
    rig().about(hex('4500 0014 0000 4000 4001 0000 0af40102 0af40203')),
    undefined,
    'ICMP without a type',
  );
});

t.test('IcmpErrors reports only the first fragment', async (t) => {
  t.ok(rig().about(packet((view) => view.setUint16(6, 0x2000))));
  t.equal(rig().about(packet((view) => view.setUint16(6, 0x20b9))), undefined);
  t.equal(rig().about(packet((view) => view.setUint16(6, 0x00b9))), undefined);
});

t.test(
  'IcmpErrors sends nothing to a source that is not a host, nor about multicast and broadcast',
  async (t) => {
    for (const source of ['0.0.0.0', '0.1.2.3', '127.0.0.1', '224.0.0.1', '240.0.0.1', '255.255.255.255']) {
      t.equal(rig().about(packet((view) => view.setInt32(12, ipv4(source)))), undefined, source);
    }
    for (const destination of ['224.0.0.1', '239.1.2.3', '255.255.255.255']) {
      t.equal(rig().about(packet((view) => view.setInt32(16, ipv4(destination)))), undefined, destination);
    }
    t.ok(rig().about(packet((view) => view.setInt32(12, ipv4('223.255.255.255')))));
  },
);

t.test('IcmpErrors allows 50 errors at once, then one per millisecond', async (t) => {
  const { clock, about } = rig();
  const sent = (): number => {
    let count = 0;
    while (about(packet()) !== undefined) count++;
    return count;
  };
  t.equal(sent(), 50);
  clock.time += 0.5;
  t.equal(sent(), 0);
  clock.time += 0.5;
  t.equal(sent(), 1);
  clock.time += 7;
  t.equal(sent(), 7);
  clock.time += 1_000_000;
  t.equal(sent(), 50);
});

t.test('IcmpErrors takes no token for a packet that must not be reported', async (t) => {
  const { about } = rig();
  for (let i = 0; i < 100; i++) about(packet((view) => view.setUint16(6, 0x00b9)));
  t.ok(about(packet()));
});

t.test('IcmpErrors appends nothing to a full batch', async (t) => {
  t.equal(rig(0).about(packet()), undefined);
});
