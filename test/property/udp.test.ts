import fc from 'fast-check';
import t from 'tap';
import type { CounterName } from '../../src/dataplane/counters.js';
import type { PeerCheck } from '../../src/dataplane/tunnel/options.js';
import { decrementIpv4Ttl } from '../../src/dataplane/wire/ipv4.js';
import { concat, ipv4, toHex, viewOf } from '../support/bytes.js';
import { Kit } from '../support/kit.js';
import { slowChecksum, slowSum } from '../support/reference.js';

const ADDRESS_B = ipv4('192.168.77.2');

/** An IPv4 packet with any field, whose length and header checksum are right. */
const packet = fc
  .record({
    tos: fc.nat(255),
    ttl: fc.oneof(fc.nat(3), fc.nat(255)),
    offset: fc.oneof(fc.constant(0), fc.nat(0xffff)),
    protocol: fc.oneof(fc.constantFrom(1, 6, 17), fc.nat(255)),
    source: fc.constantFrom(
      '10.244.2.3',
      '10.244.3.4',
      '10.244.1.9',
      '127.0.0.1',
      '255.255.255.255',
      '0.0.0.0',
    ),
    destination: fc.constantFrom('10.244.2.3', '10.244.1.2', '10.9.9.9', '224.0.0.1'),
    options: fc.nat(10),
    body: fc.uint8Array({ maxLength: 700 }),
    identification: fc.nat(0xffff),
  })
  .map((fields) => {
    const header = new Uint8Array(20 + 4 * fields.options).fill(1);
    const view = viewOf(header);
    view.setUint8(0, 0x45 + fields.options);
    view.setUint8(1, fields.tos);
    view.setUint16(2, header.length + fields.body.length);
    view.setUint16(4, fields.identification);
    view.setUint16(6, fields.offset);
    view.setUint8(8, fields.ttl);
    view.setUint8(9, fields.protocol);
    view.setUint16(10, 0);
    view.setInt32(12, ipv4(fields.source));
    view.setInt32(16, ipv4(fields.destination));
    view.setUint16(10, slowChecksum(header));
    return concat(header, fields.body);
  });

t.test('decrementIpv4Ttl keeps a right checksum right, down to 0', async () => {
  fc.assert(
    fc.property(packet, (bytes) => {
      const ttl = bytes[8];
      const headerLength = (bytes[0] & 15) * 4;
      const view = viewOf(bytes);
      for (let left = ttl; left > 0; left--) {
        decrementIpv4Ttl(view, 0);
        const expected = bytes.slice();
        viewOf(expected).setUint8(8, left - 1);
        viewOf(expected).setUint16(10, 0);
        viewOf(expected).setUint16(10, slowChecksum(expected.slice(0, headerLength)));
        if (toHex(bytes) !== toHex(expected)) return false;
      }
      return true;
    }),
  );
});

/** Packets from random bytes to almost valid ones. */
const anything = fc.oneof(
  packet,
  fc.uint8Array({ maxLength: 90 }),
  fc
    .tuple(packet, fc.nat(40), fc.nat(255))
    .map(([bytes, at, value]) => concat(bytes.slice(0, at), Uint8Array.of(value), bytes.slice(at + 1))),
  fc.tuple(packet, fc.nat(60)).map(([bytes, end]) => bytes.slice(0, end)),
);

const SLOT = 1024;
const FILLER = 0xa5;

for (const direction of ['tx', 'rx'] as const) {
  t.test(
    `UdpTunnel (${direction}) forwards every packet or drops it under one counter, and changes nothing else`,
    async () => {
      fc.assert(
        fc.property(
          fc.array(anything, { maxLength: 8 }),
          fc.constantFrom<PeerCheck>('strict', 'mac', 'off'),
          fc.nat(3),
          (packets, peerCheck, tos) => {
            const kit = new Kit(8, SLOT);
            kit.arena.bytes.fill(FILLER, kit.batch.slot(0), kit.batch.slot(7) + SLOT);
            const { tunnel, replies } = kit.udpTunnel({ peerCheck });
            tunnel.routes.set(ipv4('10.244.2.0'), 24, ADDRESS_B);
            kit.fill(packets, ADDRESS_B);
            kit.batch.tos.fill(tos, 0, packets.length);
            if (direction === 'tx') tunnel.encapsulate(kit.batch, replies);
            else tunnel.decapsulate(kit.batch, replies);

            const counted = Object.entries(kit.counted()) as [CounterName, number][];
            const sum = (part: string): number =>
              counted
                .filter(([name]) => name.startsWith(part))
                .reduce((total, [, value]) => total + value, 0);
            if (kit.batch.count + sum(`${direction}_drop`) !== packets.length) return false;
            if (sum(direction) !== sum(`${direction}_drop`) + sum(`${direction}_icmp`)) return false;
            if (replies.count !== sum(`${direction}_icmp`)) return false;
            // The bytes around the packets do not change.
            for (const [index, bytes] of packets.entries()) {
              const from = kit.batch.slot(index) + bytes.length;
              const to = index === 7 ? kit.batch.slot(7) + SLOT : kit.batch.slot(index + 1);
              if (kit.arena.bytes.subarray(from, to).some((byte) => byte !== FILLER)) return false;
            }
            // A forwarded packet equals an incoming one, except for TOS, TTL and checksum.
            const essence = (bytes: Uint8Array): string => {
              const copy = bytes.slice();
              copy.fill(0, 1, 2);
              copy.fill(0, 8, 9);
              copy.fill(0, 10, 12);
              return toHex(copy);
            };
            const came = packets.map(essence);
            let next = 0;
            for (const bytes of kit.packets()) {
              next = came.indexOf(essence(bytes), next) + 1;
              if (next === 0) return false;
            }
            return kit.packetsOf(replies).every((error) => {
              const quote = error.slice(28);
              return (
                error.length <= 576 &&
                slowSum(error.slice(0, 20)) === 0xffff &&
                slowSum(error.slice(20)) === 0xffff &&
                packets.some((bytes) => toHex(bytes).startsWith(toHex(quote)))
              );
            });
          },
        ),
        { numRuns: 400 },
      );
    },
  );
}
