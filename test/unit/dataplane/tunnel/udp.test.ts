import t, { type Test } from 'tap';
import type { CounterName } from '../../../../src/dataplane/counters.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../../../../src/dataplane/memory/batch.js';
import type { PeerCheck } from '../../../../src/dataplane/tunnel/options.js';
import type { UdpTunnel } from '../../../../src/dataplane/tunnel/udp.js';
import { concat, hex, ipv4, pattern, toHex, viewOf } from '../../../support/bytes.js';
import { type FrameOptions, packetOf, tcpFrame, udpFrame } from '../../../support/frames.js';
import { Kit } from '../../../support/kit.js';
import { countsOf } from '../../../support/peers.js';
import { withPartialChecksum } from '../../../support/reference.js';

// This node is A, 10.244.1.0/24. B has 10.244.2.0/24, C has 10.244.3.0/24.
const ADDRESS_B = ipv4('192.168.77.2');
const ADDRESS_C = ipv4('192.168.77.3');
const UNKNOWN_SOURCE = ipv4('203.0.113.9');

/** 10.244.1.2:40000 to 10.244.2.3:53, payload "weft", and back. Byte 8 begins TTL, protocol, checksum. */
const OUT_64 = hex('4500 0020 1267 4000 4011 0f7a 0af40102 0af40203 9c40 0035 000c 6c9a 77656674');
const OUT_63 = hex('4500 0020 1267 4000 3f11 107a 0af40102 0af40203 9c40 0035 000c 6c9a 77656674');
const OUT_1 = hex('4500 0020 1267 4000 0111 4e7a 0af40102 0af40203 9c40 0035 000c 6c9a 77656674');
const IN_63 = hex('4500 0020 1267 4000 3f11 107a 0af40203 0af40102 0035 9c40 000c 6c9a 77656674');
const IN_62 = hex('4500 0020 1267 4000 3e11 117a 0af40203 0af40102 0035 9c40 000c 6c9a 77656674');
const IN_1 = hex('4500 0020 1267 4000 0111 4e7a 0af40203 0af40102 0035 9c40 000c 6c9a 77656674');
/** A packet to 10.244.9.9, which belongs to no lease. */
const OUT_NOWHERE = hex('4500 0020 1267 4000 4011 0874 0af40102 0af40909 9c40 0035 000c 6594 77656674');

interface Node {
  kit: Kit;
  tunnel: UdpTunnel;
  replies: PacketBatch;
  encapsulate(...packets: Uint8Array[]): string[];
  decapsulate(from: number, ...packets: Uint8Array[]): string[];
  said(): string[];
}

function node(peerCheck: PeerCheck = 'strict'): Node {
  const kit = new Kit(16);
  const { tunnel, replies } = kit.udpTunnel({ peerCheck });
  tunnel.routes.set(ipv4('10.244.2.0'), 24, ADDRESS_B);
  tunnel.routes.set(ipv4('10.244.3.0'), 24, ADDRESS_C);
  return {
    kit,
    tunnel,
    replies,
    encapsulate: (...packets) => {
      kit.fill(packets);
      tunnel.encapsulate(kit.batch, replies);
      return kit.packets().map(toHex);
    },
    decapsulate: (from, ...packets) => {
      kit.fill(packets, from);
      tunnel.decapsulate(kit.batch, replies);
      return kit.packets().map(toHex);
    },
    said: () => kit.packetsOf(replies).map(toHex),
  };
}

/** Returns a copy with other bytes at `at`. */
function poked(packet: Uint8Array, at: number, text: string): Uint8Array {
  const bytes = hex(text);
  return concat(packet.slice(0, at), bytes, packet.slice(at + bytes.length));
}

/** Returns the packet of a frame with this change and correct checksums. */
function touched(touch: (packet: DataView) => void, options: FrameOptions = {}): Uint8Array {
  return packetOf(udpFrame({ ...options, mutate: (frame) => touch(viewOf(frame.subarray(14))) }));
}

t.test('encapsulate addresses a packet to the peer of its destination and decrements its TTL', async (t) => {
  const { kit, encapsulate, said } = node();
  t.same(encapsulate(OUT_64, poked(OUT_64, 16, '0af40309')).slice(0, 1), [toHex(OUT_63)]);
  t.same([...kit.batch.address.slice(0, 2)], [ADDRESS_B, ADDRESS_C]);
  t.equal(kit.batch.offset[0], kit.batch.slot(0), 'nothing was put in front of it');
  t.same([kit.counted(), said()], [{}, []]);
});

t.test('decapsulate delivers a datagram as a packet and decrements its TTL', async (t) => {
  const { kit, decapsulate, said } = node();
  t.same(decapsulate(ADDRESS_B, IN_63), [toHex(IN_62)]);
  t.same([kit.counted(), said()], [{}, []]);
});

t.test('encapsulate follows the longest prefix', async (t) => {
  const { kit, tunnel, encapsulate } = node();
  tunnel.routes.set(ipv4('10.244.2.0'), 28, ADDRESS_C);
  encapsulate(OUT_64);
  t.equal(kit.batch.address[0], ADDRESS_C);
});

t.test('UdpTunnel forwards every protocol, header options and fragments', async (t) => {
  const { kit, encapsulate } = node();
  const packets = [
    touched((packet) => packet.setUint8(9, 47)),
    touched((packet) => packet.setUint8(9, 1)),
    touched((packet) => packet.setUint16(6, 0x2000)),
    touched((packet) => packet.setUint16(6, 0x00b9)),
    packetOf(tcpFrame({ ipOptions: hex('01010101') })),
  ];
  t.equal(encapsulate(...packets).length, packets.length);
  t.same(kit.counted(), {});
});

t.test('encapsulate changes only the one header of a superpacket', async (t) => {
  const kit = new Kit(1, 65536);
  const { tunnel, replies } = kit.udpTunnel();
  tunnel.routes.set(ipv4('10.244.2.0'), 24, ADDRESS_B);
  const whole = packetOf(withPartialChecksum(tcpFrame({ payload: pattern(20_000) })));
  kit.fill([whole]);
  kit.batch.gsoSize[0] = 1400;
  kit.batch.checksum[0] = CHECKSUM_PARTIAL;
  tunnel.encapsulate(kit.batch, replies);
  t.same([kit.batch.gsoSize[0], kit.batch.checksum[0]], [1400, CHECKSUM_PARTIAL]);
  const sent = kit.packet(0);
  t.equal(sent[8], 63);
  t.equal(toHex(sent.slice(12)), toHex(whole.slice(12)));
});

t.test('UdpTunnel drops malformed packets in both directions, each under its own counter', async (t) => {
  const cases: [string, 'runt' | 'not_ipv4' | 'bad_length', Uint8Array, Uint8Array][] = [
    ['19 bytes', 'runt', OUT_64.slice(0, 19), IN_63.slice(0, 19)],
    ['nothing', 'runt', hex(''), hex('')],
    ['IPv6', 'not_ipv4', packetOf(udpFrame({ ipv6: true })), packetOf(udpFrame({ ipv6: true }))],
    ['version 0', 'not_ipv4', poked(OUT_64, 0, '05'), poked(IN_63, 0, '05')],
    ['a total length beyond it', 'bad_length', poked(OUT_64, 2, '0021'), poked(IN_63, 2, '0021')],
    ['a total length short of it', 'bad_length', poked(OUT_64, 2, '001f'), poked(IN_63, 2, '001f')],
    ['a header below 20 bytes', 'bad_length', poked(OUT_64, 0, '44'), poked(IN_63, 0, '44')],
    ['a header beyond it', 'bad_length', poked(OUT_64, 0, '4f'), poked(IN_63, 0, '4f')],
  ];
  for (const [name, reason, out, back] of cases) {
    const { kit, encapsulate, decapsulate, said } = node();
    t.same(encapsulate(out, OUT_64), [toHex(OUT_63)], name);
    t.same(decapsulate(ADDRESS_B, back, IN_63), [toHex(IN_62)], name);
    t.same(kit.counted(), { [`tx_drop_${reason}`]: 1, [`rx_drop_${reason}`]: 1 }, name);
    t.same(said(), []);
  }
});

t.test('encapsulate answers a packet without a route with net unreachable', async (t) => {
  const { kit, encapsulate, said, replies } = node();
  t.same(encapsulate(OUT_NOWHERE, OUT_64), [toHex(OUT_63)]);
  // From 10.244.1.0 with TOS c0, DF, TTL 64; type 3 code 0; quotes the whole original packet.
  const expected = concat(
    hex('45c0 003c 0000 4000 4001 2218 0af40100 0af40102'),
    hex('0300 1d10 0000 0000'),
    OUT_NOWHERE,
  );
  t.same(said(), [toHex(expected)]);
  t.equal(replies.gsoSize[0], 0);
  t.same(kit.counted(), { tx_drop_no_route: 1, tx_icmp_sent: 1 });
});

t.test('encapsulate answers an expired packet with time exceeded', async (t) => {
  const { kit, encapsulate, said } = node();
  t.same(encapsulate(OUT_1), []);
  const expected = concat(
    hex('45c0 003c 0000 4000 4001 2218 0af40100 0af40102'),
    hex('0b00 0e0a 0000 0000'),
    OUT_1,
  );
  t.same(said(), [toHex(expected)]);
  t.same(kit.counted(), { tx_drop_ttl: 1, tx_icmp_sent: 1 });
});

t.test('decapsulate answers an expired packet with time exceeded through the tunnel', async (t) => {
  const { kit, decapsulate, said, replies } = node();
  t.same(decapsulate(ADDRESS_B, IN_1, IN_63), [toHex(IN_62)]);
  const expected = concat(
    hex('45c0 003c 0000 4000 4001 2117 0af40100 0af40203'),
    hex('0b00 0e0a 0000 0000'),
    IN_1,
  );
  t.same(said(), [toHex(expected)]);
  t.equal(replies.address[0], ADDRESS_B);
  t.same(kit.counted(), { rx_drop_ttl: 1, rx_icmp_sent: 1 });
});

t.test('ICMP errors come from the present address of the device', async (t) => {
  const { tunnel, encapsulate, said } = node();
  tunnel.handle({ type: 'own-address', address: ipv4('10.244.7.0') });
  encapsulate(OUT_1);
  t.match(said()[0]?.slice(24, 32), '0af40700');
});

t.test('UdpTunnel.handle returns undefined for a request of the vxlan tunnel', async (t) => {
  const { tunnel } = node();
  t.equal(tunnel.handle({ type: 'learned' }), undefined);
  t.equal(tunnel.handle({ type: 'own-mac', high: 0x0200, low: 1 }), undefined);
});

t.test('UdpTunnel treats TTL 0 as expired, like TTL 1', async (t) => {
  const { kit, encapsulate, decapsulate } = node();
  t.same(encapsulate(touched((packet) => packet.setUint8(8, 0))), []);
  t.same(decapsulate(ADDRESS_B, poked(IN_63, 8, '00')), []);
  t.match(kit.counted(), { tx_drop_ttl: 1, rx_drop_ttl: 1 });
});

t.test('decapsulate sends no time exceeded to a source without a route', async (t) => {
  const { kit, decapsulate, said } = node('off');
  t.same(decapsulate(UNKNOWN_SOURCE, poked(IN_1, 12, 'cb007109')), []);
  t.same([kit.counted(), said()], [{ rx_drop_ttl: 1 }, []]);
});

t.test('encapsulate drops multicast and broadcast without a route and sends no error', async (t) => {
  const { kit, encapsulate, said } = node();
  const to = (address: number): Uint8Array => touched((packet) => packet.setInt32(16, address));
  t.same(encapsulate(to(ipv4('224.0.0.22')), to(ipv4('239.255.255.255')), to(-1)), []);
  t.same([kit.counted(), said()], [{ tx_drop_multicast: 3 }, []]);
});

t.test('decapsulate accepts sources as the peer check allows', async (t) => {
  const own = ipv4('10.244.1.7');
  const unleased = ipv4('203.0.113.1');
  const rows: [PeerCheck, number, number, CounterName | undefined][] = [
    ['strict', ADDRESS_B, ipv4('10.244.2.3'), undefined],
    ['strict', ADDRESS_B, ipv4('10.244.3.3'), 'rx_drop_wrong_source'],
    ['strict', ADDRESS_B, own, 'rx_drop_wrong_source'],
    ['strict', UNKNOWN_SOURCE, ipv4('10.244.2.3'), 'rx_drop_unknown_vtep'],
    ['strict', UNKNOWN_SOURCE, unleased, 'rx_drop_unknown_vtep'],
    ['mac', UNKNOWN_SOURCE, ipv4('10.244.2.3'), undefined],
    ['mac', ADDRESS_B, ipv4('10.244.3.3'), undefined],
    ['mac', ADDRESS_B, unleased, 'rx_drop_wrong_source'],
    ['mac', UNKNOWN_SOURCE, own, 'rx_drop_wrong_source'],
    ['off', UNKNOWN_SOURCE, unleased, undefined],
    ['off', UNKNOWN_SOURCE, ipv4('10.244.1.0'), 'rx_drop_wrong_source'],
  ];
  for (const [peerCheck, outer, inner, reason] of rows) {
    const { kit, decapsulate } = node(peerCheck);
    const packet = touched((view) => view.setInt32(12, inner));
    t.equal(decapsulate(outer, packet).length, reason === undefined ? 1 : 0);
    t.same(kit.counted(), reason === undefined ? {} : { [reason]: 1 });
  }
});

t.test('decapsulate accepts every subnet of an address, and the rest once one is removed', async (t) => {
  const { kit, tunnel, decapsulate } = node();
  tunnel.routes.set(ipv4('10.244.9.0'), 24, ADDRESS_B);
  const from = (inner: string): Uint8Array => touched((view) => view.setInt32(12, ipv4(inner)));
  t.equal(decapsulate(ADDRESS_B, from('10.244.2.3'), from('10.244.9.3')).length, 2);
  tunnel.routes.delete(ipv4('10.244.9.0'), 24);
  t.equal(decapsulate(ADDRESS_B, from('10.244.2.3'), from('10.244.9.3')).length, 1);
  t.same(kit.counted(), { rx_drop_wrong_source: 1 }, 'the address is still that of a peer');
});

t.test('encapsulate copies the inner ECN field to the outer header, without DSCP', async (t) => {
  const { kit, encapsulate } = node();
  encapsulate(...[0xb8, 0xb9, 0xba, 0xbb].map((tos) => touched((packet) => packet.setUint8(1, tos))));
  t.same([...kit.batch.tos.slice(0, 4)], [0, 1, 2, 3]);
});

t.test('decapsulate marks congestion in the inner header, or drops the packet', async (t) => {
  const { kit, tunnel, replies } = node();
  const packet = (tos: number, ttl: number): Uint8Array =>
    touched((view) => {
      view.setUint8(1, tos);
      view.setUint8(8, ttl);
      view.setInt32(12, ipv4('10.244.2.3'));
    });
  kit.fill([packet(0xba, 64), packet(0xb8, 64), packet(0xb9, 64)], ADDRESS_B);
  kit.batch.tos.fill(0xb8 | 3, 0, 3);
  tunnel.decapsulate(kit.batch, replies);
  t.same(kit.packets().map(toHex), [packet(0xbb, 63), packet(0xbb, 63)].map(toHex));
  t.same(kit.counted(), { rx_drop_ecn: 1 });
});

t.test('encapsulate keeps the order and the metadata of the remaining packets', async (t: Test) => {
  const { kit, tunnel, replies } = node();
  kit.fill([OUT_NOWHERE, OUT_64, OUT_1, OUT_64]);
  kit.batch.gsoSize[3] = 7;
  tunnel.encapsulate(kit.batch, replies);
  t.same([...kit.batch.gsoSize.slice(0, 2)], [0, 7]);
  t.same([kit.batch.offset[0], kit.batch.offset[1]], [kit.batch.slot(1), kit.batch.slot(3)]);
});

t.test(
  'handle lists the packets of each peer that has any, and the sources that are refused for their lease',
  async (t) => {
    const { tunnel, encapsulate, decapsulate } = node();
    encapsulate(OUT_64, OUT_NOWHERE);
    decapsulate(ADDRESS_B, IN_63, IN_63);
    decapsulate(UNKNOWN_SOURCE, IN_63);
    t.same(countsOf(tunnel), [
      { address: ADDRESS_B, txPackets: 1, txBytes: OUT_64.length, rxPackets: 2, rxBytes: 2 * IN_63.length },
    ]);
    t.match(tunnel.handle({ type: 'peers' }), {
      refused: [{ address: UNKNOWN_SOURCE, leased: ADDRESS_B, count: 1 }],
    });
  },
);
