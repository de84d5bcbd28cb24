import fc from 'fast-check';
import t from 'tap';
import {
  destinationHigh,
  destinationLow,
  etherType,
  sourceHigh,
  sourceLow,
} from '../../src/dataplane/wire/ethernet.js';
import * as ipv4 from '../../src/dataplane/wire/ipv4.js';
import * as ipv6 from '../../src/dataplane/wire/ipv6.js';
import * as tcp from '../../src/dataplane/wire/tcp.js';
import { hasReservedBits, hasVni, VXLAN_LENGTH, vniOf, writeVxlan } from '../../src/dataplane/wire/vxlan.js';
import { concat, viewOf } from '../support/bytes.js';

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
const word = fc.nat(0xffff);

t.test('VXLAN accessors read back what writeVxlan wrote, over any previous bytes', async () => {
  fc.assert(
    fc.property(fc.nat(0xffffff), bytes(32), fc.nat(32 - VXLAN_LENGTH), (vni, before, at) => {
      const after = before.slice();
      writeVxlan(viewOf(after), at, vni);
      const header = viewOf(after);
      const around = (all: Uint8Array): Uint8Array => concat(all.slice(0, at), all.slice(at + VXLAN_LENGTH));
      return (
        hasVni(header, at) &&
        vniOf(header, at) === vni &&
        !hasReservedBits(header, at) &&
        Buffer.compare(around(before), around(after)) === 0
      );
    }),
  );
});

t.test('VXLAN accessors split any eight bytes into I flag, VNI and reserved bits', async () => {
  fc.assert(
    fc.property(bytes(8), (header) => {
      const view = viewOf(header);
      const [a, b, c, d, e, f, g, h] = header;
      const reserved = (a & 0xf7) | b | c | d | h;
      return (
        hasVni(view, 0) === ((a & 0x08) !== 0) &&
        vniOf(view, 0) === e * 65536 + f * 256 + g &&
        hasReservedBits(view, 0) === (reserved !== 0)
      );
    }),
  );
});

t.test('Ethernet accessors return all bytes of the addresses', async () => {
  fc.assert(
    fc.property(bytes(20), fc.nat(6), (frame, at) => {
      const view = viewOf(frame);
      const again = viewOf(new Uint8Array(14));
      again.setUint16(0, destinationHigh(view, at));
      again.setInt32(2, destinationLow(view, at));
      again.setUint16(6, sourceHigh(view, at));
      again.setInt32(8, sourceLow(view, at));
      again.setUint16(12, etherType(view, at));
      return Buffer.compare(new Uint8Array(again.buffer), frame.slice(at, at + 14)) === 0;
    }),
  );
});

/** Asserts that a field reads back as set and that no other byte changes. */
function roundTrips(
  length: number,
  field: [from: number, to: number],
  set: (view: DataView, at: number, value: number) => void,
  get: (view: DataView, at: number) => number,
  value: fc.Arbitrary<number>,
): void {
  fc.assert(
    fc.property(bytes(length + 8), fc.nat(8), value, (before, at, wanted) => {
      const after = before.slice();
      set(viewOf(after), at, wanted);
      const around = (all: Uint8Array): Uint8Array =>
        concat(all.slice(0, at + field[0]), all.slice(at + field[1]));
      return get(viewOf(after), at) === wanted && Buffer.compare(around(before), around(after)) === 0;
    }),
  );
}

t.test('IPv4 setters and accessors round trip', async () => {
  roundTrips(20, [2, 4], ipv4.setIpv4TotalLength, ipv4.ipv4TotalLength, word);
  roundTrips(20, [4, 6], ipv4.setIpv4Identification, ipv4.ipv4Identification, word);
  roundTrips(20, [10, 12], ipv4.setIpv4HeaderChecksum, (view, at) => view.getUint16(at + 10), word);
});

t.test('IPv6 setters and accessors round trip', async () => {
  roundTrips(40, [4, 6], ipv6.setIpv6PayloadLength, ipv6.ipv6PayloadLength, word);
});

t.test('TCP setters and accessors round trip', async () => {
  roundTrips(20, [4, 8], tcp.setTcpSequence, tcp.tcpSequence, fc.integer());
  roundTrips(20, [13, 14], tcp.setTcpFlags, tcp.tcpFlags, fc.nat(255));
});

t.test('setTcpSequence adds modulo 2^32', async () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.nat(65535), (sequence, more) => {
      const view = viewOf(new Uint8Array(20));
      view.setUint32(4, sequence);
      tcp.setTcpSequence(view, 0, tcp.tcpSequence(view, 0) + more);
      return view.getUint32(4) === (sequence + more) % 2 ** 32;
    }),
  );
});
