import t from 'tap';
import { parseIpv4 } from '../../../../../src/control/addresses/ipv4.js';
import { findOwnLease } from '../../../../../src/control/leases/file/find-own-lease.js';
import { leaseOf, nodeLease } from '../../../../support/leases.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const NETWORK = { base: 0x0af40000, prefixLength: 16 };

function own(...addresses: string[]): { interface: string; addresses: number[] } {
  return { interface: 'eth0', addresses: addresses.map((text) => parseIpv4(text) as number) };
}

t.test('the own lease is the one whose public IP is an address of the interface', async (t) => {
  const leases = [nodeLease(1), nodeLease(2), nodeLease(3)];
  t.equal(findOwnLease(leases, own('192.168.77.2'), NETWORK, 'leases.json'), leases[1]);
});

t.test('of several addresses the first that has a lease counts', async (t) => {
  const leases = [nodeLease(1), nodeLease(2)];
  t.equal(findOwnLease(leases, own('10.0.0.1', '192.168.77.2', '192.168.77.1'), NETWORK, 'x'), leases[1]);
});

t.test('without a lease for this node the interface, its addresses and the remedy are named', async (t) => {
  const message = await refusal(t, () =>
    findOwnLease([nodeLease(1)], own('192.168.77.9', '10.0.0.1'), NETWORK, 'leases.json'),
  );
  mentions(
    t,
    message,
    'leases.json: no lease for this node',
    'eth0',
    '192.168.77.9, 10.0.0.1',
    'add a lease',
    '--iface',
  );
});

t.test('a subnet outside of Network is refused with both', async (t) => {
  const lease = leaseOf('10.245.1.0/24', '192.168.77.1', '02:00:00:00:00:01');
  const message = await refusal(t, () => findOwnLease([lease], own('192.168.77.1'), NETWORK, 'leases.json'));
  mentions(
    t,
    message,
    'leases.json',
    '"10.244.0.0/16"',
    '"10.245.1.0/24"',
    '192.168.77.1',
    'correct Network or the lease',
  );
  const wider = leaseOf('10.244.0.0/15', '192.168.77.1', '02:00:00:00:00:01');
  await refusal(t, () => findOwnLease([wider], own('192.168.77.1'), NETWORK, 'leases.json'));
});

t.test('the whole Network may be one lease', async (t) => {
  const lease = leaseOf('10.244.0.0/16', '192.168.77.1', '02:00:00:00:00:01');
  t.equal(findOwnLease([lease], own('192.168.77.1'), NETWORK, 'leases.json'), lease);
});
