import t, { type Test } from 'tap';
import { formatCidr } from '../../../../src/control/addresses/cidr.js';
import { type NamedLease, PeerFilter } from '../../../../src/control/leases/peer-filter.js';
import { catchLog } from '../../../support/catch-log.js';
import { leaseOf, nodeLease } from '../../../support/leases.js';
import { mentions } from '../../../support/user-error.js';

const OWN: NamedLease = { name: 'self', lease: nodeLease(1) };

function named(name: string, subnet: string, publicIp: string, mac?: string): NamedLease {
  return { name, lease: leaseOf(subnet, publicIp, mac) };
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
    says: ['z is left out', 'public IP 192.168.77.1 belongs to self too', '--public-ip'],
  },
  {
    rule: "another's public IP",
    lease: named('z', '10.244.9.0/24', '192.168.77.2'),
    says: ['z is left out', 'public IP 192.168.77.2 belongs to a too'],
  },
  {
    rule: "another's MAC",
    lease: named('z', '10.244.9.0/24', '192.168.77.9', '02:00:00:00:00:02'),
    says: ['VtepMAC 02:00:00:00:00:02 belongs to a too'],
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
    says: ['public IP 10.244.9.7 lies inside the subnet of itself'],
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
  });
  const peers = new PeerFilter().accept(lease(1n), [lease(2n), lease(3n, 2n), lease(4n, 4n, 62), lease(5n)]);
  t.same(peers, [lease(2n).lease, lease(4n, 4n, 62).lease]);
  t.match(log[0], /node3 is left out: its public IP fd77::2 belongs to node2 too/);
  t.match(log[1], /node5 is left out: its subnet fd00:0:0:5::\/64 overlaps that of node4/);
});
