import fc from 'fast-check';
import t from 'tap';
import type { PeerCheck } from '../../src/dataplane/tunnel/options.js';
import { concat, ipv4, toHex } from '../support/bytes.js';
import { BROADCAST, MAC_A, MAC_B, MAC_C, rawFrame } from '../support/frames.js';
import { Kit, setFdb, setOwnMac } from '../support/kit.js';

const ADDRESS_A = ipv4('192.168.77.1');
const ADDRESS_B = ipv4('192.168.77.2');
const STRANGE_MAC = '02:00:00:00:00:99';

const body = fc.uint8Array({ maxLength: 300 });
const vni = fc.nat(0xffffff);

t.test('decapsulate returns the frames that encapsulate sent, in their order', async () => {
  fc.assert(
    fc.property(vni, fc.array(fc.tuple(fc.boolean(), body), { maxLength: 16 }), (number, packets) => {
      const from = new Kit(16, 512);
      const sender = from.tunnel({ vni: number });
      setFdb(sender, MAC_B, ADDRESS_B);
      const frames = packets.map(([known, bytes]) => rawFrame(known ? MAC_B : MAC_C, MAC_A, bytes));
      from.fill(frames);
      sender.encapsulate(from.batch);

      const to = new Kit(16, 512);
      const receiver = to.tunnel({ vni: number });
      setOwnMac(receiver, MAC_B);
      setFdb(receiver, MAC_A, ADDRESS_A);
      to.fill(from.packets(), ADDRESS_A);
      receiver.decapsulate(to.batch);

      const expected = frames.filter((_, index) => packets[index][0] === true);
      return JSON.stringify(to.packets().map(toHex)) === JSON.stringify(expected.map(toHex));
    }),
  );
});

/** Datagrams from random bytes to almost valid ones. */
const datagram = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc
    .tuple(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.constantFrom(MAC_A, MAC_B, STRANGE_MAC), body)
    .map(([header, source, bytes]) => concat(header, rawFrame(MAC_B, source, bytes))),
  fc
    .tuple(fc.constantFrom(MAC_A, MAC_B, STRANGE_MAC), fc.constantFrom(MAC_A, MAC_B, STRANGE_MAC), body)
    .map(([destination, source, bytes]) =>
      concat(Uint8Array.of(8, 0, 0, 0, 0, 0, 1, 0), rawFrame(destination, source, bytes)),
    ),
);

t.test('decapsulate delivers a datagram whole or drops it under exactly one counter', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(datagram, fc.constantFrom(ADDRESS_A, ADDRESS_B, 1)), { maxLength: 16 }),
      fc.constantFrom<PeerCheck>('strict', 'mac', 'off'),
      fc.boolean(),
      (datagrams, peerCheck, learning) => {
        const kit = new Kit(16, 512);
        const tunnel = kit.tunnel({ peerCheck, learning });
        setOwnMac(tunnel, MAC_B);
        setFdb(tunnel, MAC_A, ADDRESS_A);
        kit.fill([]);
        for (const [bytes, address] of datagrams) kit.add(bytes, address);
        tunnel.decapsulate(kit.batch);
        const counted = Object.entries(kit.counted());
        const dropped = counted
          .filter(([name]) => name.startsWith('rx_drop'))
          .reduce((sum, [, value]) => sum + value, 0);
        const whole = datagrams.map(([bytes]) => toHex(bytes.slice(8)));
        let next = 0;
        for (const packet of kit.packets().map(toHex)) {
          next = whole.indexOf(packet, next) + 1;
          if (next === 0) return false;
        }
        return kit.batch.count + dropped === datagrams.length;
      },
    ),
    { numRuns: 300 },
  );
});

/** Frames for a known MAC, for an unknown one and for everyone; and bytes that are no frame. */
const outgoing = fc.oneof(
  fc
    .tuple(fc.constantFrom(MAC_A, MAC_C, BROADCAST), body)
    .map(([destination, bytes]) => rawFrame(destination, MAC_B, bytes)),
  fc.uint8Array({ maxLength: 40 }),
);

t.test('encapsulate sends a frame whole or drops it under exactly one counter', async (t) => {
  let sent = 0;
  let dropped = 0;
  fc.assert(
    fc.property(fc.array(outgoing, { maxLength: 16 }), (frames) => {
      const kit = new Kit(16, 512);
      const tunnel = kit.tunnel();
      setFdb(tunnel, MAC_A, ADDRESS_A);
      kit.fill(frames);
      tunnel.encapsulate(kit.batch);
      const lost = Object.values(kit.counted()).reduce((sum, value) => sum + value, 0);
      sent += kit.batch.count;
      dropped += lost;
      const known = frames.filter((frame) => toHex(frame).startsWith(MAC_A.replaceAll(':', '')));
      const left = kit.packets().map((packet) => toHex(packet.slice(8)));
      return (
        JSON.stringify(left) === JSON.stringify(known.map(toHex)) && kit.batch.count + lost === frames.length
      );
    }),
  );
  t.ok(sent > 50 && dropped > 50, `${sent} frames were sent and ${dropped} dropped`);
});
