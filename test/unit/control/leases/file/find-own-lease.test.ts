import t from 'tap';
import { findOwnLease, type OwnAddresses } from '../../../../../src/control/leases/file/find-own-lease.js';
import { cidr, ip } from '../../../../support/addresses.js';
import { leaseOf, nodeLease } from '../../../../support/leases.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const NETWORK = cidr('10.244.0.0/16');

function own(...addresses: string[]): OwnAddresses {
  return { interface: 'eth0', addresses: addresses.map(ip) };
}

t.test('findOwnLease returns the lease whose public IP is an address of the interface', async (t) => {
  const leases = [nodeLease(1), nodeLease(2), nodeLease(3)];
  t.equal(findOwnLease(leases, own('192.168.77.2'), NETWORK, 'leases.json'), leases[1]);
});

t.test('findOwnLease uses the first address with a lease', async (t) => {
  const leases = [nodeLease(1), nodeLease(2)];
  t.equal(findOwnLease(leases, own('10.0.0.1', '192.168.77.2', '192.168.77.1'), NETWORK, 'x'), leases[1]);
});

t.test('findOwnLease without a lease names the interface, its addresses and the remedy', async (t) => {
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

t.test('findOwnLease refuses a subnet outside of Network and names both', async (t) => {
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

t.test('findOwnLease accepts the whole Network as one lease', async (t) => {
  const lease = leaseOf('10.244.0.0/16', '192.168.77.1', '02:00:00:00:00:01');
  t.equal(findOwnLease([lease], own('192.168.77.1'), NETWORK, 'leases.json'), lease);
});
