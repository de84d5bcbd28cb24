import t, { type Test } from 'tap';
import { formatCidr } from '../../../../src/control/addresses/cidr.js';
import { type NamedLease, PeerFilter, type Rank } from '../../../../src/control/leases/peer-filter.js';
import { catchLog } from '../../../support/catch-log.js';
import { leaseOf, nodeLease } from '../../../support/leases.js';
import { mentions } from '../../../support/user-error.js';

const OWN = { name: 'self', lease: nodeLease(1) };
const ALIKE: Rank = { ready: true, time: 0 };

function named(name: string, subnet: string, publicIp: string, mac?: string, rank = ALIKE): NamedLease {
  return { name, lease: leaseOf(subnet, publicIp, mac), rank };
}

/** The accepted subnets, and what is logged. */
function filtered(t: Test, ...others: NamedLease[]): { subnets: string[]; log: string[] } {
  const log = catchLog(t);
  const subnets = new PeerFilter().accept(OWN, others).map(({ subnet }) => formatCidr(subnet));
  return { subnets, log };
}

t.test('PeerFilter accepts leases without contradictions, sorted by name', async (t) => {
  const { subnets, log } = filtered(
    t,
    named('b', '10.244.3.0/24', '192.168.77.3', '02:00:00:00:00:03'),
    named('a', '10.244.2.0/25', '192.168.77.2', '02:00:00:00:00:02'),
    named('c', '10.244.2.128/25', '192.168.77.4', '02:00:00:00:00:04'),
  );
  t.same(subnets, ['10.244.2.0/25', '10.244.3.0/24', '10.244.2.128/25']);
  t.same(log, []);
});

for (const { rule, lease, says } of [
  {
    rule: "this node's public IP",
    lease: named('z', '10.244.9.0/24', '192.168.77.1'),
    says: ['z is left out', 'public IP 192.168.77.1 belongs to self too', 'that is this node', '--public-ip'],
  },
  {
    rule: "this node's MAC at another address",
    lease: named('z', '10.244.9.0/24', '192.168.77.9', '02:00:00:00:00:01'),
    says: ['VtepMAC 02:00:00:00:00:01 belongs to self at 192.168.77.1 too'],
  },
  {
    rule: "another's MAC at another address",
    lease: named('z', '10.244.9.0/24', '192.168.77.9', '02:00:00:00:00:02'),
    says: ['VtepMAC 02:00:00:00:00:02 belongs to a at 192.168.77.2 too', 'the lease of a stays'],
  },
  {
    rule: "another's subnet",
    lease: named('z', '10.244.2.0/24', '192.168.77.9'),
    says: ['subnet 10.244.2.0/24 overlaps that of a'],
  },
  {
    rule: "a part of this node's subnet",
    lease: named('z', '10.244.1.64/26', '192.168.77.9'),
    says: ['subnet 10.244.1.64/26 overlaps that of self'],
  },
  {
    rule: 'a subnet around another',
    lease: named('z', '10.244.2.0/23', '192.168.77.9'),
    says: ['subnet 10.244.2.0/23 overlaps that of a'],
  },
  {
    rule: "a public IP inside another's subnet",
    lease: named('z', '10.244.9.0/24', '10.244.2.7'),
    says: ['public IP 10.244.2.7 lies inside the subnet of a'],
  },
  {
    rule: 'a public IP inside the own subnet',
    lease: named('z', '10.244.9.0/24', '10.244.9.7'),
    says: ['public IP 10.244.9.7 lies inside its own subnet'],
  },
  {
    rule: "a subnet around another's public IP",
    lease: named('z', '192.168.77.0/30', '172.16.0.9'),
    says: ['subnet 192.168.77.0/30 contains the public IP of a', 'carry its own packets'],
  },
]) {
  t.test(`PeerFilter leaves out only the lease with ${rule}`, async (t) => {
    const { subnets, log } = filtered(
      t,
      lease,
      named('a', '10.244.2.0/24', '192.168.77.2', '02:00:00:00:00:02'),
      named('b', '10.244.3.0/24', '192.168.77.30'),
    );
    t.same(subnets, ['10.244.2.0/24', '10.244.3.0/24']);
    t.equal(log.length, 1);
    mentions(t, log[0] as string, ...says);
  });
}

t.test('PeerFilter accepts several subnets and MACs at one public IP, and one MAC twice there', async (t) => {
  const { subnets, log } = filtered(
    t,
    named('live', '10.244.3.0/24', '192.168.77.3', '02:00:00:00:00:03'),
    named('a-dead', '10.244.8.0/24', '192.168.77.3', '02:00:00:00:00:08', { ready: false, time: 9 }),
    named('z-dead', '10.244.9.0/24', '192.168.77.3', '02:00:00:00:00:03', { ready: false, time: 9 }),
    named('udp', '10.244.10.0/24', '192.168.77.3'),
  );
  t.same(subnets, ['10.244.8.0/24', '10.244.3.0/24', '10.244.10.0/24', '10.244.9.0/24']);
  t.same(log, []);
});

for (const { rule, winner, loser, why } of [
  {
    rule: 'the ready node, although the other lease is newer',
    winner: { ready: true, time: 1 },
    loser: { ready: false, time: 2 },
    why: 'because only that node is ready',
  },
  {
    rule: 'the newer of two leases whose nodes are ready',
    winner: { ready: true, time: 2 },
    loser: { ready: true, time: 1 },
    why: 'because it is newer',
  },
  {
    rule: 'the newer of two leases whose nodes are not ready',
    winner: { ready: false, time: 2 },
    loser: { ready: false, time: 1 },
    why: 'because it is newer',
  },
]) {
  t.test(`PeerFilter prefers ${rule}, whatever the names`, async (t) => {
    const mac = '02:00:00:00:00:09';
    for (const [first, second] of [
      ['a', 'z'],
      ['z', 'a'],
    ] as const) {
      const { subnets, log } = filtered(
        t,
        named(first, '10.244.8.0/24', '192.168.77.8', mac, winner),
        named(second, '10.244.9.0/24', '192.168.77.9', mac, loser),
      );
      t.same(subnets, ['10.244.8.0/24']);
      mentions(
        t,
        log[0] as string,
        `${second} is left out: its VtepMAC ${mac}`,
        `the lease of ${first} stays`,
        why,
      );
    }
  });
}

t.test('PeerFilter chooses by name only between equals', async (t) => {
  const { subnets, log } = filtered(
    t,
    named('b', '10.244.8.0/24', '192.168.77.8'),
    named('a', '10.244.8.0/25', '192.168.77.9'),
  );
  t.same(subnets, ['10.244.8.0/25']);
  t.match(log[0], 'because its name comes first');
});

t.test('PeerFilter returns the peers in one order, whatever their ranks', async (t) => {
  const subnetsAt = (time: number): string[] =>
    filtered(
      t,
      named('a', '10.244.8.0/24', '192.168.77.8', undefined, { ready: time > 1, time }),
      named('b', '10.244.9.0/24', '192.168.77.9', undefined, { ready: true, time: 1 }),
    ).subnets;
  t.same(subnetsAt(0), subnetsAt(2));
});

t.test('PeerFilter logs again when the other lease wins', async (t) => {
  const log = catchLog(t);
  const filter = new PeerFilter();
  const accept = (ready: boolean): void => {
    filter.accept(OWN, [
      named('a', '10.244.8.0/24', '192.168.77.8', undefined, { ready, time: 1 }),
      named('b', '10.244.8.0/25', '192.168.77.9', undefined, { ready: true, time: 0 }),
    ]);
  };
  for (const ready of [true, true, false, false, true]) accept(ready);
  t.same(
    log.map((line) => line.slice(0, 15)),
    ['W b is left out', 'W a is left out', 'W b is left out'],
  );
  t.ok(filter.hasContradictions);
  filter.accept(OWN, []);
  t.notOk(filter.hasContradictions);
});

t.test('PeerFilter accepts leases without MACs', async (t) => {
  const { subnets } = filtered(
    t,
    named('a', '10.244.2.0/24', '192.168.77.2'),
    named('b', '10.244.3.0/24', '192.168.77.3'),
  );
  t.equal(subnets.length, 2);
});

t.test('PeerFilter logs a contradiction once for as long as it lasts', async (t) => {
  const log = catchLog(t);
  const filter = new PeerFilter();
  const wrong = named('z', '10.244.9.0/24', '192.168.77.1');
  filter.accept(OWN, [wrong]);
  filter.accept(OWN, [wrong]);
  t.equal(log.length, 1);
  filter.accept(OWN, []);
  filter.accept(OWN, [wrong]);
  t.equal(log.length, 2);
});

t.test('PeerFilter applies the same rules to IPv6', async (t) => {
  const log = catchLog(t);
  const lease = (node: bigint, publicIp = node, prefixLength = 64) => ({
    name: `node${node}`,
    lease: {
      subnet: { base: (0xfd00n << 112n) + (node << 64n), prefixLength },
      publicIp: (0xfd77n << 112n) + publicIp,
      vtepMac: `02:00:00:00:00:0${node}`,
    },
    rank: ALIKE,
  });
  const peers = new PeerFilter().accept(lease(1n), [lease(2n), lease(3n, 1n), lease(4n, 4n, 62), lease(5n)]);
  t.same(peers, [lease(2n).lease, lease(4n, 4n, 62).lease]);
  t.match(log[0], /node3 is left out: its public IP fd77::1 belongs to node1 too/);
  t.match(log[1], /node5 is left out: its subnet fd00:0:0:5::\/64 overlaps that of node4/);
});
