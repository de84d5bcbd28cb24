import t from 'tap';
import type { CounterName } from '../../../../src/dataplane/counters.js';
import { CHECKSUM_PARTIAL } from '../../../../src/dataplane/memory/batch.js';
import type { PeerCheck } from '../../../../src/dataplane/tunnel/options.js';
import type { VxlanTunnel } from '../../../../src/dataplane/tunnel/vxlan.js';
import { concat, hex, ipv4, mac, pattern, toHex } from '../../../support/bytes.js';
import { BROADCAST, MAC_A, MAC_B, MAC_C, rawFrame, tcpFrame, udpFrame } from '../../../support/frames.js';
import { Kit, setFdb, setOwnMac } from '../../../support/kit.js';
import { countsOf } from '../../../support/peers.js';

// This node is B. A and C are its peers, by lease.
const ADDRESS_A = ipv4('192.168.77.1');
const ADDRESS_C = ipv4('192.168.77.3');
const UNKNOWN_SOURCE = ipv4('203.0.113.9');
const STRANGE_MAC = '02:00:00:00:00:99';
const MULTICAST_MAC = '33:33:00:00:00:01';
const HEADER = '0800000000000100';
const ETHERNET = 14;
/** Bytes of Ethernet, IPv4 and TCP header. */
const HEADERS = ETHERNET + 20 + 20;

interface Node {
  kit: Kit;
  tunnel: VxlanTunnel;
}

function node(peerCheck: PeerCheck = 'strict', learning = false, podMtu = 1450): Node {
  const kit = new Kit();
  const tunnel = kit.tunnel({ peerCheck, learning, podMtu });
  setOwnMac(tunnel, MAC_B);
  setFdb(tunnel, MAC_A, ADDRESS_A);
  setFdb(tunnel, MAC_C, ADDRESS_C);
  return { kit, tunnel };
}

function datagram(frame: Uint8Array, header = HEADER): Uint8Array {
  return concat(hex(header), frame);
}

function learnedAddress(tunnel: VxlanTunnel, address: string): number | undefined {
  const { high, low } = mac(address);
  return tunnel.learned?.lookup(high, low);
}

t.test('encapsulate writes the header into the headroom and sets the address of the VTEP', async (t) => {
  const { kit, tunnel } = node();
  const frame = rawFrame(MAC_A, MAC_B);
  kit.fill([frame]);
  const before = kit.batch.offset[0];
  tunnel.encapsulate(kit.batch);
  t.equal(toHex(kit.packet(0)), HEADER + toHex(frame));
  t.equal(kit.batch.offset[0], before - 8, 'the frame did not move');
  t.equal(kit.batch.address[0], ADDRESS_A);
  t.same(kit.counted(), {});
});

t.test('encapsulate writes its own VNI', async (t) => {
  for (const [vni, header] of [
    [0, '0800000000000000'],
    [4096, '0800000000100000'],
    [0xffffff, '08000000ffffff00'],
  ] as const) {
    const kit = new Kit();
    const tunnel = kit.tunnel({ vni });
    setFdb(tunnel, MAC_A, ADDRESS_A);
    kit.fill([rawFrame(MAC_A, MAC_B)]);
    tunnel.encapsulate(kit.batch);
    t.equal(toHex(kit.packet(0).slice(0, 8)), header);
  }
});

t.test('encapsulate overwrites every byte of the header in the headroom', async (t) => {
  const { kit, tunnel } = node();
  kit.fill([rawFrame(MAC_A, MAC_B)]);
  kit.arena.bytes.fill(0xff, kit.batch.offset[0] - 8, kit.batch.offset[0]);
  tunnel.encapsulate(kit.batch);
  t.equal(toHex(kit.packet(0).slice(0, 8)), HEADER);
});

t.test('encapsulate keeps a superpacket whole', async (t) => {
  const { kit, tunnel } = node();
  kit.fill([rawFrame(STRANGE_MAC, MAC_B), rawFrame(MAC_A, MAC_B)]);
  kit.batch.gsoSize[1] = 1400;
  kit.batch.checksum[1] = CHECKSUM_PARTIAL;
  tunnel.encapsulate(kit.batch);
  t.equal(kit.batch.gsoSize[0], 1400);
  t.equal(kit.batch.checksum[0], CHECKSUM_PARTIAL);
});

t.test('encapsulate drops undeliverable frames, each under its own counter', async (t) => {
  const cases: [string, Uint8Array, CounterName][] = [
    ['no byte at all', new Uint8Array(0), 'tx_drop_runt'],
    ['thirteen bytes', rawFrame(MAC_A, MAC_B).slice(0, 13), 'tx_drop_runt'],
    ['a MAC that no lease has', rawFrame(STRANGE_MAC, MAC_B), 'tx_drop_unknown_mac'],
    ['this node itself', rawFrame(MAC_B, MAC_B), 'tx_drop_unknown_mac'],
    ['broadcast', rawFrame(BROADCAST, MAC_B), 'tx_drop_multicast'],
    ['multicast', rawFrame(MULTICAST_MAC, MAC_B), 'tx_drop_multicast'],
  ];
  for (const [name, frame, counter] of cases) {
    const { kit, tunnel } = node();
    kit.fill([frame]);
    tunnel.encapsulate(kit.batch);
    t.equal(kit.batch.count, 0, name);
    t.same(kit.counted(), { [counter]: 1 }, name);
  }
});

t.test('encapsulate accepts a bare Ethernet header as a frame', async (t) => {
  const { kit, tunnel } = node();
  kit.fill([rawFrame(MAC_A, MAC_B).slice(0, 14)]);
  tunnel.encapsulate(kit.batch);
  t.equal(kit.batch.count, 1);
});

t.test('encapsulate sends multicast with an FDB entry to its VTEP', async (t) => {
  const { kit, tunnel } = node();
  setFdb(tunnel, MULTICAST_MAC, ADDRESS_C);
  kit.fill([rawFrame(MULTICAST_MAC, MAC_B)]);
  tunnel.encapsulate(kit.batch);
  t.equal(kit.batch.address[0], ADDRESS_C);
  t.same(kit.counted(), {});
});

t.test('encapsulate keeps the order and closes the gaps', async (t) => {
  const { kit, tunnel } = node();
  const frames = Array.from({ length: 20 }, (_, index) =>
    rawFrame(index % 3 === 0 ? STRANGE_MAC : index % 3 === 1 ? MAC_A : MAC_C, MAC_B, Uint8Array.of(index)),
  );
  kit.fill(frames);
  tunnel.encapsulate(kit.batch);
  const kept = frames.filter((_, index) => index % 3 !== 0);
  t.same(
    kit.packets().map(toHex),
    kept.map((frame) => HEADER + toHex(frame)),
  );
  t.same(
    [...kit.batch.address.slice(0, kit.batch.count)],
    kept.map((_, index) => (index % 2 === 0 ? ADDRESS_A : ADDRESS_C)),
  );
  t.same(kit.counted(), { tx_drop_unknown_mac: 7 });
});

t.test('decapsulate removes the header and changes nothing else', async (t) => {
  const { kit, tunnel } = node();
  const frame = tcpFrame({ destination: MAC_B, source: MAC_A, payload: pattern(99) });
  kit.fill([datagram(frame)], ADDRESS_A);
  const before = kit.batch.offset[0];
  tunnel.decapsulate(kit.batch);
  t.equal(toHex(kit.packet(0)), toHex(frame));
  t.equal(kit.batch.offset[0], before + 8);
  t.same(kit.counted(), {});
});

t.test('decapsulate drops packets that are not VXLAN of this VNI, each under its own counter', async (t) => {
  const frame = rawFrame(MAC_B, MAC_A);
  const cases: [string, Uint8Array, CounterName][] = [
    ['no byte at all', new Uint8Array(0), 'rx_drop_runt'],
    ['half a VXLAN header', hex(HEADER).slice(0, 4), 'rx_drop_runt'],
    ['a VXLAN header alone', hex(HEADER), 'rx_drop_runt'],
    ['one byte less than an Ethernet header', datagram(frame.slice(0, 13)), 'rx_drop_runt'],
    ['no I flag', datagram(frame, '0000000000000100'), 'rx_drop_no_vni_flag'],
    ['every flag but I', datagram(frame, 'f700000000000100'), 'rx_drop_no_vni_flag'],
    ['VNI 0', datagram(frame, '0800000000000000'), 'rx_drop_unknown_vni'],
    ['VNI 2', datagram(frame, '0800000000000200'), 'rx_drop_unknown_vni'],
    ['VNI 65537', datagram(frame, '0800000001000100'), 'rx_drop_unknown_vni'],
    ['VNI in the wrong bytes', datagram(frame, '0800000000000001'), 'rx_drop_unknown_vni'],
  ];
  for (const [name, packet, counter] of cases) {
    for (const peerCheck of ['strict', 'off'] as const) {
      const { kit, tunnel } = node(peerCheck);
      kit.fill([packet], ADDRESS_A);
      tunnel.decapsulate(kit.batch);
      t.equal(kit.batch.count, 0, `${name}, ${peerCheck}`);
      t.same(kit.counted(), { [counter]: 1 }, `${name}, ${peerCheck}`);
    }
  }
});

t.test('decapsulate ignores reserved bits, as RFC 7348 requires, and counts them', async (t) => {
  for (const header of ['0c00000000000100', '0800002a00000100', '08000000000001ff', '7fffffff000001ff']) {
    const { kit, tunnel } = node();
    kit.fill([datagram(rawFrame(MAC_B, MAC_A), header)], ADDRESS_A);
    tunnel.decapsulate(kit.batch);
    t.equal(kit.batch.count, 1, header);
    t.same(kit.counted(), { rx_reserved_bits: 1 }, header);
  }
});

t.test('decapsulate accepts a frame with any group policy and counts it', async (t) => {
  for (const [header, counted] of [
    ['8800000000000100', { rx_group_policy: 2 }],
    ['8800123400000100', { rx_group_policy: 2 }],
    ['8848ffff00000100', { rx_group_policy: 2 }],
    ['88ffffff000001ff', { rx_group_policy: 2, rx_reserved_bits: 2 }],
  ] as const) {
    const { kit, tunnel } = node();
    const frame = rawFrame(MAC_B, MAC_A);
    kit.fill([datagram(frame, header), datagram(frame, header), datagram(frame)], ADDRESS_A);
    tunnel.decapsulate(kit.batch);
    t.same(kit.packets().map(toHex), Array(3).fill(toHex(frame)), header);
    t.same(kit.counted(), counted, header);
  }
});

t.test('decapsulate never reuses a verdict for a packet that differs from the one before', async (t) => {
  const { kit, tunnel } = node();
  const frame = tcpFrame({ destination: MAC_B, source: MAC_A });
  kit.fill([]);
  const good = datagram(frame);
  const reserved = datagram(frame, '0800000000000101');
  for (const packet of [good, good, reserved, reserved, good, good, good.slice(0, 21)])
    kit.add(packet, ADDRESS_A);
  // Congestion marked on a packet that is Not-ECT.
  kit.batch.tos[1] = 3;
  kit.batch.address[5] = UNKNOWN_SOURCE;
  tunnel.decapsulate(kit.batch);
  t.equal(kit.batch.count, 4);
  t.same(kit.counted(), { rx_drop_ecn: 1, rx_reserved_bits: 2, rx_drop_unknown_vtep: 1, rx_drop_runt: 1 });
});

t.test('decapsulate does not count reserved bits of a dropped packet', async (t) => {
  const { kit, tunnel } = node();
  kit.fill([datagram(rawFrame(MAC_B, MAC_A), '8c00000000000100')], UNKNOWN_SOURCE);
  tunnel.decapsulate(kit.batch);
  t.same(kit.counted(), { rx_drop_unknown_vtep: 1 });
});

/** The fate of a frame by outer source, inner source, peer check and learning. */
type Fate = 'accepted' | 'learned' | 'rx_drop_unknown_vtep' | 'rx_drop_wrong_source_mac';

const SENDERS: { name: string; address: number; source: string }[] = [
  { name: "a lease's address and its MAC", address: ADDRESS_A, source: MAC_A },
  { name: "a lease's address and another lease's MAC", address: ADDRESS_A, source: MAC_C },
  { name: "a lease's address and a MAC no lease has", address: ADDRESS_A, source: STRANGE_MAC },
  { name: "an unknown source and a lease's MAC", address: UNKNOWN_SOURCE, source: MAC_A },
  { name: 'an unknown source and a MAC no lease has', address: UNKNOWN_SOURCE, source: STRANGE_MAC },
];

const FATES: Record<string, Fate[]> = {
  strict: [
    'accepted',
    'rx_drop_wrong_source_mac',
    'rx_drop_wrong_source_mac',
    'rx_drop_unknown_vtep',
    'rx_drop_unknown_vtep',
  ],
  mac: ['accepted', 'accepted', 'rx_drop_wrong_source_mac', 'accepted', 'rx_drop_wrong_source_mac'],
  off: ['accepted', 'accepted', 'accepted', 'accepted', 'accepted'],
  'strict with learning': [
    'accepted',
    'rx_drop_wrong_source_mac',
    'learned',
    'rx_drop_unknown_vtep',
    'rx_drop_unknown_vtep',
  ],
  'mac with learning': ['accepted', 'accepted', 'learned', 'accepted', 'learned'],
  'off with learning': ['accepted', 'accepted', 'learned', 'accepted', 'learned'],
};

for (const [mode, fates] of Object.entries(FATES)) {
  t.test(`decapsulate applies peer check ${mode}`, async (t) => {
    for (const [index, { name, address, source }] of SENDERS.entries()) {
      const fate = fates[index];
      const dropped = fate !== 'accepted' && fate !== 'learned';
      const { kit, tunnel } = node(mode.split(' ')[0] as PeerCheck, mode.endsWith('learning'));
      kit.fill([datagram(rawFrame(MAC_B, source))], address);
      tunnel.decapsulate(kit.batch);
      t.equal(kit.batch.count, dropped ? 0 : 1, name);
      t.same(kit.counted(), dropped ? { [fate as string]: 1 } : {}, name);
      t.equal(tunnel.learned?.size ?? 0, fate === 'learned' ? 1 : 0, `${name}: learned`);
    }
  });
}

t.test(
  'decapsulate without learning accepts only frames for this node, multicast and broadcast',
  async (t) => {
    for (const [destination, accepted] of [
      [MAC_B, true],
      [BROADCAST, true],
      [MULTICAST_MAC, true],
      [MAC_C, false],
      [STRANGE_MAC, false],
    ] as const) {
      for (const peerCheck of ['strict', 'mac', 'off'] as const) {
        const { kit, tunnel } = node(peerCheck);
        kit.fill([datagram(rawFrame(destination, MAC_A))], ADDRESS_A);
        tunnel.decapsulate(kit.batch);
        t.equal(kit.batch.count, accepted ? 1 : 0, `${destination}, ${peerCheck}`);
        t.same(kit.counted(), accepted ? {} : { rx_drop_not_our_mac: 1 }, `${destination}, ${peerCheck}`);
      }
    }
  },
);

t.test(
  'decapsulate with learning accepts frames for any MAC, because the device may be in a bridge',
  async (t) => {
    const { kit, tunnel } = node('off', true);
    kit.fill([datagram(rawFrame(STRANGE_MAC, MAC_A))], ADDRESS_A);
    tunnel.decapsulate(kit.batch);
    t.equal(kit.batch.count, 1);
  },
);

t.test('decapsulate checks the source before the destination', async (t) => {
  const { kit, tunnel } = node();
  kit.fill([datagram(rawFrame(STRANGE_MAC, MAC_A))], UNKNOWN_SOURCE);
  tunnel.decapsulate(kit.batch);
  t.same(kit.counted(), { rx_drop_unknown_vtep: 1 });
});

t.test('decapsulate accepts every MAC of an address, and the rest once one is removed', async (t) => {
  const { kit, tunnel } = node();
  setFdb(tunnel, STRANGE_MAC, ADDRESS_A);
  const both = [MAC_A, STRANGE_MAC].map((source) => datagram(rawFrame(MAC_B, source)));
  kit.fill(both, ADDRESS_A);
  tunnel.decapsulate(kit.batch);
  t.equal(kit.batch.count, 2);
  const { high, low } = mac(STRANGE_MAC);
  tunnel.fdb.delete(high, low);
  kit.fill(both, ADDRESS_A);
  tunnel.decapsulate(kit.batch);
  t.equal(kit.batch.count, 1);
  t.same(kit.counted(), { rx_drop_wrong_source_mac: 1 }, 'the address is still that of a VTEP');
});

t.test('decapsulate follows a change of the own MAC', async (t) => {
  const { kit, tunnel } = node();
  setOwnMac(tunnel, 'fe:ff:ff:ff:ff:fe');
  kit.fill([datagram(rawFrame('fe:ff:ff:ff:ff:fe', MAC_A)), datagram(rawFrame(MAC_B, MAC_A))], ADDRESS_A);
  tunnel.decapsulate(kit.batch);
  t.equal(kit.batch.count, 1);
  t.same(kit.counted(), { rx_drop_not_our_mac: 1 });
});

t.test('decapsulate keeps the order and closes the gaps', async (t) => {
  const { kit, tunnel } = node();
  const frames = Array.from({ length: 20 }, (_, index) => rawFrame(MAC_B, MAC_A, Uint8Array.of(index)));
  kit.fill([]);
  for (const [index, frame] of frames.entries()) {
    const bad = index % 4 === 0;
    kit.add(
      datagram(frame, bad && index % 8 === 0 ? '0800000000000200' : HEADER),
      bad ? UNKNOWN_SOURCE : ADDRESS_A,
    );
  }
  tunnel.decapsulate(kit.batch);
  t.same(kit.packets().map(toHex), frames.filter((_, index) => index % 4 !== 0).map(toHex));
  t.same(kit.counted(), { rx_drop_unknown_vni: 3, rx_drop_unknown_vtep: 2 });
});

t.test('encapsulate sends frames for a learned MAC to its VTEP', async (t) => {
  const { kit, tunnel } = node('off', true);
  kit.fill([datagram(rawFrame(MAC_B, STRANGE_MAC))], UNKNOWN_SOURCE);
  tunnel.decapsulate(kit.batch);
  t.equal(learnedAddress(tunnel, STRANGE_MAC), UNKNOWN_SOURCE);
  kit.fill([rawFrame(STRANGE_MAC, MAC_B)]);
  tunnel.encapsulate(kit.batch);
  t.equal(kit.batch.address[0], UNKNOWN_SOURCE);
  t.same(kit.counted(), {});
});

t.test(
  'encapsulate with learning drops frames for an unknown MAC and does not flood multicast',
  async (t) => {
    const { kit, tunnel } = node('off', true);
    kit.fill([rawFrame(STRANGE_MAC, MAC_B), rawFrame(BROADCAST, MAC_B)]);
    tunnel.encapsulate(kit.batch);
    t.equal(kit.batch.count, 0);
    t.same(kit.counted(), { tx_drop_unknown_mac: 1, tx_drop_multicast: 1 });
  },
);

t.test('decapsulate never learns the MAC of a lease', async (t) => {
  const { kit, tunnel } = node('off', true);
  kit.fill([datagram(rawFrame(MAC_B, MAC_A))], UNKNOWN_SOURCE);
  tunnel.decapsulate(kit.batch);
  t.equal(learnedAddress(tunnel, MAC_A), 0);
  kit.fill([rawFrame(MAC_A, MAC_B)]);
  tunnel.encapsulate(kit.batch);
  t.equal(kit.batch.address[0], ADDRESS_A);
});

t.test('encapsulate prefers a lease to an earlier learned entry', async (t) => {
  const { kit, tunnel } = node('off', true);
  kit.fill([datagram(rawFrame(MAC_B, STRANGE_MAC))], UNKNOWN_SOURCE);
  tunnel.decapsulate(kit.batch);
  setFdb(tunnel, STRANGE_MAC, ADDRESS_C);
  kit.fill([rawFrame(STRANGE_MAC, MAC_B)]);
  tunnel.encapsulate(kit.batch);
  t.equal(kit.batch.address[0], ADDRESS_C);
});

t.test('decapsulate never learns a multicast source', async (t) => {
  const { kit, tunnel } = node('off', true);
  kit.fill([datagram(rawFrame(MAC_B, BROADCAST)), datagram(rawFrame(MAC_B, MULTICAST_MAC))], UNKNOWN_SOURCE);
  tunnel.decapsulate(kit.batch);
  t.equal(tunnel.learned?.size, 0);
});

t.test('decapsulate learns nothing from a dropped frame', async (t) => {
  const { kit, tunnel } = node('strict', true);
  kit.fill([datagram(rawFrame(MAC_B, STRANGE_MAC))], UNKNOWN_SOURCE);
  kit.add(datagram(rawFrame(MAC_B, STRANGE_MAC), '0800000000000200'), ADDRESS_A);
  tunnel.decapsulate(kit.batch);
  t.equal(tunnel.learned?.size, 0);
});

t.test('VxlanTunnel has no learned entries without learning', async (t) => {
  t.equal(node('off', false).tunnel.learned, undefined);
});

t.test('VxlanTunnel.handle returns undefined for a request of the udp tunnel', async (t) => {
  const { tunnel } = node('strict', false);
  t.equal(tunnel.handle({ type: 'routes', remove: Int32Array.of(), set: Int32Array.of() }), undefined);
  t.equal(tunnel.handle({ type: 'own-address', address: 1 }), undefined);
});

t.test('VxlanTunnel leaves an empty batch empty', async (t) => {
  const { kit, tunnel } = node();
  kit.fill([]);
  tunnel.encapsulate(kit.batch);
  tunnel.decapsulate(kit.batch);
  t.equal(kit.batch.count, 0);
  t.same(kit.counted(), {});
});

t.test(
  'handle lists the packets and bytes of each peer, a superpacket as its segments with all headers',
  async (t) => {
    const { kit, tunnel } = node();
    const whole = tcpFrame({ destination: MAC_A, source: MAC_B, payload: pattern(2500) });
    kit.fill([rawFrame(MAC_A, MAC_B), whole, rawFrame(STRANGE_MAC, MAC_B)]);
    kit.batch.gsoSize[1] = 1000;
    const [raw, strange] = [kit.batch.length[0], kit.batch.length[2]];
    tunnel.encapsulate(kit.batch);
    kit.fill([
      datagram(rawFrame(MAC_B, MAC_C)),
      datagram(rawFrame(MAC_B, MAC_C)),
      datagram(rawFrame(MAC_B, MAC_A)),
    ]);
    for (const [index, address] of [ADDRESS_C, ADDRESS_C, ADDRESS_A].entries())
      kit.batch.address[index] = address;
    tunnel.decapsulate(kit.batch);
    t.same(countsOf(tunnel), [
      {
        address: ADDRESS_A,
        txPackets: 4,
        txBytes: raw + whole.length + 2 * HEADERS,
        rxPackets: 1,
        rxBytes: raw,
      },
      { address: ADDRESS_C, txPackets: 0, txBytes: 0, rxPackets: 2, rxBytes: 2 * strange },
    ]);
  },
);

t.test('a TCP superpacket of a kernel peer counts as the segments that fill the MTU', async (t) => {
  const { kit, tunnel } = node('strict', false, 1000 + HEADERS - ETHERNET);
  const whole = tcpFrame({ destination: MAC_B, source: MAC_A, payload: pattern(2500) });
  const udp = udpFrame({ destination: MAC_B, source: MAC_A, payload: pattern(2500) });
  kit.fill([datagram(whole), datagram(udp)]);
  kit.batch.address.fill(ADDRESS_A);
  tunnel.decapsulate(kit.batch);
  t.match(countsOf(tunnel), [
    { address: ADDRESS_A, rxPackets: 3 + 1, rxBytes: whole.length + 2 * HEADERS + udp.length },
  ]);
});

t.test('handle lists the sources that are refused although their MAC has a lease', async (t) => {
  const { kit, tunnel } = node();
  for (const [address, source] of [
    [UNKNOWN_SOURCE, MAC_A],
    [UNKNOWN_SOURCE, MAC_A],
    [ADDRESS_C, MAC_A],
    [UNKNOWN_SOURCE, STRANGE_MAC],
    [ADDRESS_A, MAC_A],
  ] as const) {
    kit.fill([datagram(rawFrame(MAC_B, source))], address);
    tunnel.decapsulate(kit.batch);
  }
  t.same(tunnel.handle({ type: 'peers' })?.refused, [
    { address: UNKNOWN_SOURCE, leased: ADDRESS_A, count: 2 },
    { address: ADDRESS_C, leased: ADDRESS_A, count: 1 },
  ]);
});

for (const [check, from, source] of [
  ['mac', UNKNOWN_SOURCE, MAC_A],
  ['off', ADDRESS_A, STRANGE_MAC],
] as const) {
  t.test(`peer check ${check} counts a packet for the peer of its MAC, else of its address`, async (t) => {
    const { kit, tunnel } = node(check);
    kit.fill([datagram(rawFrame(MAC_B, source))], from);
    tunnel.decapsulate(kit.batch);
    t.same(
      countsOf(tunnel).map(({ rxPackets }) => rxPackets),
      [1],
    );
    t.same(tunnel.handle({ type: 'peers' })?.refused, []);
  });
}
