import fc from 'fast-check';
import t from 'tap';
import { Checksum } from '../../src/dataplane/checksum/checksum.js';
import { Arena } from '../../src/dataplane/memory/arena.js';
import { PartialChecksum } from '../../src/dataplane/offload/partial-checksum.js';
import { ETHERNET_LENGTH } from '../../src/dataplane/wire/ethernet.js';
import { concat, toHex } from '../support/bytes.js';
import { type FrameOptions, tcpFrame, udpFrame } from '../support/frames.js';
import { Kit } from '../support/kit.js';
import {
  checksumsVerify,
  pseudoHeader,
  slowChecksum,
  slowSum,
  withPartialChecksum,
} from '../support/reference.js';

const arena = new Arena(65536);
const checksum = new Checksum(arena);

const bytes = fc.uint8Array({ maxLength: 2000, size: 'max' });
const at = fc.nat(200);

t.test('Checksum.sum equals the slow reference at any length and alignment', async () => {
  fc.assert(
    fc.property(bytes, at, (data, offset) => {
      arena.bytes.fill(0xff);
      arena.bytes.set(data, offset);
      return Checksum.field(checksum.sum(offset, data.length)) === slowChecksum(data);
    }),
    { numRuns: 500 },
  );
});

t.test('Checksum.sum of even parts adds up to the sum of the whole', async () => {
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(1000), { maxLength: 5 }), (data, cuts) => {
      arena.bytes.set(data, 64);
      const ends = [...cuts.map((cut) => cut * 2).filter((cut) => cut < data.length), data.length].sort(
        (a, b) => a - b,
      );
      let sum = 0;
      let from = 0;
      for (const end of ends) {
        sum += checksum.sum(64 + from, end - from);
        from = end;
      }
      return Checksum.field(sum) === slowChecksum(data);
    }),
  );
});

const options: fc.Arbitrary<FrameOptions> = fc.record({
  ipv6: fc.boolean(),
  payload: fc.uint8Array({ maxLength: 1400 }),
  tcpOptions: fc.nat(10).map((words) => new Uint8Array(words * 4).fill(1)),
});
const frame = fc
  .tuple(fc.boolean(), options)
  .map(([tcp, chosen]) => (tcp ? tcpFrame(chosen) : udpFrame(chosen)));

t.test('Checksum.pseudoHeader equals the slow reference', async () => {
  fc.assert(
    fc.property(frame, (packet) => {
      const ipv6 = packet[12] === 0x86;
      arena.bytes.set(packet, 64);
      const transport = 14 + (ipv6 ? 40 : 20);
      const sum = ipv6
        ? checksum.pseudoHeader(64 + 14 + 8, 32, packet[20] as number, packet.length - transport)
        : checksum.pseudoHeader(64 + 14 + 12, 8, packet[23] as number, packet.length - transport);
      return Checksum.pseudoHeaderField(sum) === slowSum(pseudoHeader(packet));
    }),
  );
});

t.test('PartialChecksum detects a partial checksum and completes it, with padding or without', async () => {
  fc.assert(
    fc.property(frame, fc.nat(20), (packet, padding) => {
      const kit = new Kit(1, 4096);
      const partial = new PartialChecksum(kit.arena, kit.checksum, kit.counters, ETHERNET_LENGTH + 1500);
      kit.fill([concat(withPartialChecksum(packet), new Uint8Array(padding).fill(0x5a))]);
      if (!kit.locate(0)) return false;
      const pseudoHeader = partial.detect(kit.batch, 0);
      if (kit.batch.checksum[0] !== 1 || kit.batch.gsoSize[0] !== 0) return false;
      partial.complete(kit.batch, 0, pseudoHeader);
      const done = kit.packet(0);
      return checksumsVerify(done) && toHex(done.slice(0, packet.length)) === toHex(packet);
    }),
    { numRuns: 300 },
  );
});

t.test('PartialChecksum writes nothing outside a packet, however broken', async () => {
  const broken = fc
    .tuple(frame, fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }), fc.nat(100))
    .map(([packet, pokes, cut]) => {
      const copy = packet.slice(0, Math.max(0, packet.length - cut));
      for (const [where, value] of pokes) if (where < copy.length) copy[where] = value;
      return copy;
    });
  fc.assert(
    fc.property(fc.oneof(broken, fc.uint8Array({ maxLength: 80 })), (packet) => {
      const kit = new Kit(1, 4096);
      const partial = new PartialChecksum(kit.arena, kit.checksum, kit.counters, ETHERNET_LENGTH + 1450);
      kit.fill([packet]);
      const end = kit.batch.offset[0] + packet.length;
      kit.arena.bytes.fill(0xee, end, end + 128);
      if (kit.locate(0)) partial.complete(kit.batch, 0, partial.detect(kit.batch, 0));
      return kit.batch.count === 1 && kit.arena.bytes.slice(end, end + 128).every((byte) => byte === 0xee);
    }),
    { numRuns: 500 },
  );
});
