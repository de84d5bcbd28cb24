import t from 'tap';
import type { FamilyFacts } from '../../../../src/control/obstacles/obstacle.js';
import {
  figuresOf,
  type PeerFigures,
  type PeerPackets,
  type RefusedSource,
} from '../../../../src/control/obstacles/peer-figures.js';
import { refusedPeers, silentPeers } from '../../../../src/control/obstacles/peers.js';
import { cidr, ip } from '../../../support/addresses.js';

/** No check needs them. */
const BYTES = { txBytes: 0, rxBytes: 0 };
const MAC = '02:00:00:00:00:02';
const FACTS = {
  family: 'ipv4',
  port: 8472,
  peers: [{ subnet: cidr('10.244.2.0/24'), publicIp: ip('192.168.77.2'), vtepMac: MAC }],
} as unknown as FamilyFacts;

/** Figures that a test may change, and its clock. */
function fakeFigures() {
  const fake = { now: 0, peers: [] as PeerPackets[], refused: [] as RefusedSource[] };
  const figures: PeerFigures = {
    peers: () => Promise.resolve(fake.peers),
    refusedSources: () => Promise.resolve(fake.refused),
  };
  return { fake, fakeOf: () => figures, clock: () => fake.now };
}

t.test('silentPeers reports a peer that was sent to for a minute, until it is heard of', async (t) => {
  const { fake, fakeOf, clock } = fakeFigures();
  const check = silentPeers(fakeOf, clock);
  const address = ip('192.168.77.2');
  fake.peers = [{ address, txPackets: 0, rxPackets: 0, ...BYTES }];
  t.strictSame(await check(FACTS), []);
  fake.now = 100_000;
  fake.peers = [{ address, txPackets: 3, rxPackets: 0, ...BYTES }];
  t.strictSame(await check(FACTS), [], 'the minute begins with the first packet');
  fake.now = 159_999;
  t.strictSame(await check(FACTS), []);
  fake.now = 160_000;
  t.match(await check(FACTS), [
    {
      key: 'silent peer 192.168.77.2',
      message:
        /^Weft has sent to peer 192\.168\.77\.2 \(10\.244\.2\.0\/24\) for a minute and received nothing from it; .*UDP port 8472$/,
    },
  ]);
  fake.peers = [{ address, txPackets: 4, rxPackets: 1, ...BYTES }];
  t.strictSame(await check(FACTS), []);
});

t.test('silentPeers keeps what it knows of a peer while a new dataplane counts from zero', async (t) => {
  const { fake, fakeOf, clock } = fakeFigures();
  const check = silentPeers(fakeOf, clock);
  const peers = [2, 3].map((id) => ({ ...FACTS.peers[0], publicIp: ip(`192.168.77.${id}`) }));
  const facts = { ...FACTS, peers } as FamilyFacts;
  const count = (rxPackets: number, txPackets: number) => {
    fake.peers = [
      { address: ip('192.168.77.2'), txPackets, rxPackets: 0, ...BYTES },
      { address: ip('192.168.77.3'), txPackets, rxPackets, ...BYTES },
    ];
  };
  count(1, 1);
  await check(facts);
  for (const [now, sent] of [
    [60_000, 1],
    [61_000, 0],
    [62_000, 1],
    [200_000, 2],
  ] as const) {
    fake.now = now;
    count(0, sent);
    t.match(await check(facts), [{ key: 'silent peer 192.168.77.2' }], `at ${now}`);
  }
});

t.test('silentPeers forgets a peer without lease, and knows each family', async (t) => {
  const { fake, fakeOf, clock } = fakeFigures();
  const check = silentPeers(fakeOf, clock);
  fake.peers = [{ address: ip('192.168.77.2'), txPackets: 1, rxPackets: 0, ...BYTES }];
  await check(FACTS);
  fake.now = 60_000;
  await check({ ...FACTS, family: 'ipv6', peers: [] });
  t.equal((await check(FACTS)).length, 1);
  await check({ ...FACTS, peers: [] });
  t.strictSame(await check(FACTS), [], 'its minute begins again');
});

t.test('silentPeers reports nothing while the dataplane is being rebuilt', async (t) => {
  t.strictSame(await silentPeers(() => undefined)(FACTS), []);
  t.strictSame(await refusedPeers(() => undefined)(FACTS), []);
});

t.test('refusedPeers names the address and the flag for a leased MAC from an unknown address', async (t) => {
  const { fake, fakeOf, clock } = fakeFigures();
  const check = refusedPeers(fakeOf, clock);
  fake.refused = [
    { address: ip('192.168.77.50'), leased: ip('192.168.77.2'), count: 4 },
    { address: ip('192.168.77.66'), leased: ip('192.168.77.9'), count: 4 },
  ];
  t.match(await check(FACTS), [
    { message: /MAC 02:00:00:00:00:02 of peer 192\.168\.77\.2 .* from 192\.168\.77\.50 .*--peer-check mac$/ },
  ]);
  fake.now = 60_000;
  t.strictSame(await check(FACTS), [], 'the source is quiet for a minute');
  fake.refused = [{ address: ip('192.168.77.50'), leased: ip('192.168.77.2'), count: 5 }];
  t.equal((await check(FACTS)).length, 1);
});

t.test('refusedPeers names no MAC where leases have none, as with the udp backend', async (t) => {
  const { fake, fakeOf, clock } = fakeFigures();
  const peers = FACTS.peers.map((peer) => ({ ...peer, vtepMac: undefined }));
  fake.refused = [{ address: ip('192.168.77.50'), leased: ip('192.168.77.2'), count: 4 }];
  t.match(await refusedPeers(fakeOf, clock)({ ...FACTS, peers }), [
    { message: /^packets of peer 192\.168\.77\.2 .* from 192\.168\.77\.50 / },
  ]);
});

t.test('figuresOf returns the addresses of either family', async (t) => {
  const dataplane = {
    peers: async () => [
      { address: -1062712062, txPackets: 1, txBytes: 0, rxPackets: 2, rxBytes: 0 },
      { address: [-50331648, 0, 0, 2] as const, txPackets: 3, txBytes: 0, rxPackets: 4, rxBytes: 0 },
    ],
    refusals: () => 5,
    refusedSources: async () => [{ address: -1062712014, leased: -1062712062, count: 5 }],
  };
  const figures = figuresOf(dataplane);
  t.match(await figures.peers(), [{ address: ip('192.168.77.2') }, { address: ip('fd00::2') }]);
  t.match(await figures.refusedSources(), [
    { address: ip('192.168.77.50'), leased: ip('192.168.77.2'), count: 5 },
  ]);
});

t.test('refusedPeers reports one obstacle for all sources of a lease', async (t) => {
  const { fake, fakeOf, clock } = fakeFigures();
  const check = refusedPeers(fakeOf, clock);
  const from = (...last: number[]) => {
    fake.refused = last.map((id) => ({
      address: ip(`192.168.99.${id}`),
      leased: ip('192.168.77.2'),
      count: 1,
    }));
  };
  for (const [last, text] of [
    [[7], 'from 192.168.99.7 and are dropped'],
    [[8, 9], 'from 192.168.99.8 and 1 other address and are dropped'],
    [[3, 1, 2], 'from 192.168.99.1 and 2 other addresses and are dropped'],
  ] as const) {
    from(...last);
    const found = await check(FACTS);
    t.match(found, [{ key: 'refused source 192.168.77.2', message: text }]);
    t.equal(found.length, 1);
  }
});

t.test('refusedPeers forgets sources that the dataplane does not name any more', async (t) => {
  const { fake, fakeOf, clock } = fakeFigures();
  const check = refusedPeers(fakeOf, clock);
  const refused = [{ address: ip('192.168.77.50'), leased: ip('192.168.77.2'), count: 4 }];
  fake.refused = refused;
  await check(FACTS);
  fake.refused = [];
  await check(FACTS);
  fake.now = 60_000;
  fake.refused = refused;
  t.equal((await check(FACTS)).length, 1);
  fake.now = 120_000;
  await check({ ...FACTS, family: 'ipv6' });
  t.strictSame(await check(FACTS), [], 'the check of the other family changes nothing');
});

t.test('a check reports many obstacles of a kind as one', async (t) => {
  const { fake, fakeOf, clock } = fakeFigures();
  const peers = Array.from({ length: 100 }, (_, id) => ({
    ...FACTS.peers[0],
    publicIp: ip(`192.168.99.${id}`),
  }));
  fake.refused = peers.map(({ publicIp }) => ({ address: ip('192.168.77.50'), leased: publicIp, count: 1 }));
  const found = await refusedPeers(fakeOf, clock)({ ...FACTS, peers } as FamilyFacts);
  t.match(found, [{ message: /of peer 192\.168\.99\.0 .*; the same is true of 99 other peers$/ }]);
  t.equal(found.length, 1);
});

t.test('figuresOf asks the threads for refused sources only after a refusal', async (t) => {
  let refusals = 0;
  let asked = 0;
  const dataplane = {
    peers: async () => [],
    refusals: () => refusals,
    refusedSources: async () => {
      asked++;
      return [{ address: -1062712014, leased: -1062712062, count: refusals }];
    },
  };
  t.same(await figuresOf(dataplane).refusedSources(), []);
  refusals = 3;
  for (let i = 0; i < 2; i++) t.match(await figuresOf(dataplane).refusedSources(), [{ count: 3 }]);
  t.equal(asked, 1);
});

t.test('silentPeers reports a peer that fell silent, until it is heard of again', async (t) => {
  const { fake, fakeOf, clock } = fakeFigures();
  const check = silentPeers(fakeOf, clock);
  const packets = { address: ip('192.168.77.2'), txPackets: 9, rxPackets: 9, ...BYTES };
  for (const [heardAt, sendingSince, sentAt, silent] of [
    [1000, 500, 60_999, false],
    [1000, 500, 61_000, true],
    [1000, 900_000, 900_000, false],
    [1000, 900_000, 960_000, true],
    [959_000, 900_000, 960_000, false],
  ] as const) {
    fake.peers = [{ ...packets, heardAt, sendingSince, sentAt }];
    t.equal((await check(FACTS)).length, silent ? 1 : 0, `sent at ${sentAt}, heard at ${heardAt}`);
  }
});
