import t from 'tap';
import { parseCidr } from '../../../../src/control/addresses/cidr.js';
import { formatIp, type Ip, parseIp } from '../../../../src/control/addresses/ip.js';
import { findPeer } from '../../../../src/control/capture/target.js';
import type { Lease } from '../../../../src/control/leases/lease.js';

function lease(subnet: string, publicIp: string): Lease {
  const [cidr, ip] = [parseCidr(subnet), parseIp(publicIp)];
  if (cidr === undefined || ip === undefined) throw new Error(`${subnet} ${publicIp}`);
  return { subnet: cidr, publicIp: ip as Ip, vtepMac: undefined };
}

const PEERS = [
  lease('10.244.2.0/24', '192.168.77.2'),
  lease('10.244.3.0/24', '192.168.77.3'),
  lease('fd00:244:2::/64', 'fd00:77::2'),
];
const SOURCE = {
  addressesOf: (node: string) =>
    ({ 'node-2': ['192.168.77.2', 'fd00:77::2'], both: ['192.168.77.2', '192.168.77.3'] })[node] ?? [],
};

const find = async (text: string) => (await findPeer(text, PEERS, SOURCE)).map(formatIp);

t.test('a peer is found by its address, an address of its pods, and its name', async (t) => {
  t.strictSame(await find('192.168.77.3'), ['192.168.77.3']);
  t.strictSame(await find('10.244.3.17'), ['192.168.77.3']);
  t.strictSame(await find('fd00:244:2::5'), ['fd00:77::2']);
  t.strictSame(await find('node-2'), ['192.168.77.2', 'fd00:77::2']);
});

t.test('a name that the name service does not answer in time is refused', async (t) => {
  const never = () => new Promise<string[]>(() => {});
  await t.rejects(findPeer('node-9', PEERS, SOURCE, never, 1), {
    message: /^--peer "node-9": no peer has this name \(the name service does not answer\)/,
  });
});

t.test('a name of several peers is refused', async (t) => {
  await t.rejects(find('both'), {
    message:
      '--peer "both": the name stands for several peers, 192.168.77.2 and 192.168.77.3; use an address',
  });
});

t.test('what is no peer is refused', async (t) => {
  await t.rejects(find('10.9.9.9'), {
    message: /^--peer "10\.9\.9\.9": no peer has this address; weft status lists/,
  });
  await t.rejects(find('nowhere.invalid'), {
    message: /^--peer "nowhere\.invalid": no peer has this name \(/,
  });
});
