import t from 'tap';
import { kubeNode, PREFIX, vxlanAnnotations } from '../../../../support/kube-nodes.js';
import { harness, textOf } from '../../../../support/kube-source.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const DUAL =
  '{"Network":"10.0.0.0/8","EnableIPv6":true,"IPv6Network":"fd00::/16","Backend":{"Type":"vxlan"}}';
const ONLY6 = '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00::/16","Backend":{"Type":"vxlan"}}';
const MAC = '8a:2e:3f:11:00:01';
const MAC6 = '8a:2e:3f:11:00:06';

function dual(publicIp: string, publicIpv6: string, digit: number): Record<string, string> {
  return vxlanAnnotations(publicIp, `02:00:00:00:00:0${digit}`, {
    'backend-v6-data': `{"VNI":1,"VtepMAC":"02:00:00:00:06:0${digit}"}`,
    'public-ipv6': publicIpv6,
  });
}

t.test('KubernetesLeaseSource acquires a lease for each family of pod CIDRs, in any order', async (t) => {
  const b = await harness(t, { netConf: DUAL });
  b.api.put(
    kubeNode(
      'me',
      ['fd00:0:0:1::/64', '10.1.1.0/24'],
      vxlanAnnotations('192.0.2.1', MAC, {
        'backend-v6-data': `{"VNI":1,"VtepMAC":"${MAC6}"}`,
      }),
    ),
  );
  b.api.put(kubeNode('two', ['10.1.2.0/24', 'fd00:0:0:2::/64'], dual('172.16.0.2', '2001:db8::2', 2)));
  const sets = await b.start();
  t.same(textOf(sets), [
    '10.1.1.0/24 at 192.0.2.1',
    '10.1.2.0/24 at 172.16.0.2',
    'fd00:0:0:1::/64 at 2001:db8::1',
    'fd00:0:0:2::/64 at 2001:db8::2',
  ]);
  t.same([sets.ipv4?.own.vtepMac, sets.ipv6?.own.vtepMac], [MAC, MAC6], 'each keeps its MAC');
  t.equal(
    b.api.seen('PATCH', /./)[0]?.body,
    `{"metadata":{"annotations":{"${PREFIX}public-ipv6":"2001:db8::1"}}}`,
  );
});

t.test(
  'KubernetesLeaseSource drops only the invalid family of a peer, and delivers a change of one family',
  async (t) => {
    const b = await harness(t, { netConf: DUAL });
    b.api.put(kubeNode('me', ['10.1.1.0/24', 'fd00:0:0:1::/64']));
    b.api.put(kubeNode('two', ['10.1.2.0/24', 'fd00:0:0:2::/64'], dual('172.16.0.2', 'fe80::2', 2)));
    b.api.put(kubeNode('three', ['fd00:0:0:3::/64'], dual('172.16.0.3', '2001:db8::3', 3)));
    const own = ['10.1.1.0/24 at 192.0.2.1', 'fd00:0:0:1::/64 at 2001:db8::1'] as const;
    const two = '10.1.2.0/24 at 172.16.0.2';
    const three = 'fd00:0:0:3::/64 at 2001:db8::3';
    t.same(textOf(await b.start()), [own[0], two, own[1], three]);
    await b.logged('Error turning node "two" to lease: invalid IP address format: public-ipv6 is "fe80::2"');
    await b.logged('Error turning node "three" to lease: missing IPv4 address on n.Spec.PodCIDRs');
    b.api.put(kubeNode('two', ['10.1.2.0/24', 'fd00:0:0:2::/64'], dual('172.16.0.2', '2001:db8::2', 2)));
    await b.delivered(own[0], two, own[1], three, 'fd00:0:0:2::/64 at 2001:db8::2');
  },
);

t.test('KubernetesLeaseSource publishes IPv6 alone, with public-ipv6-overwrite', async (t) => {
  const b = await harness(t, { netConf: ONLY6 });
  b.api.put(
    kubeNode('me', ['fd00:0:0:1::/64'], {
      [`${PREFIX}public-ipv6-overwrite`]: '2001:db8::99',
      [`${PREFIX}backend-v6-data`]: `{"VNI":1,"VtepMAC":"${MAC6}"}`,
    }),
  );
  t.same(textOf(await b.start()), ['fd00:0:0:1::/64 at 2001:db8::99']);
  await b.logged("Overriding public ipv6 with '2001:db8::99' from node annotation");
  t.equal(
    b.api.seen('PATCH', /./)[0]?.body,
    `{"metadata":{"annotations":{"${PREFIX}backend-type":"vxlan","${PREFIX}kube-subnet-manager":"true","${PREFIX}public-ipv6":"2001:db8::99"}}}`,
  );
});

t.test('acquire names what this node lacks for IPv6', async (t) => {
  for (const [cidrs, says] of [
    [['10.1.1.0/24'], 'node "me" has no IPv6 pod CIDR, only 10.1.1.0/24'],
    [
      ['10.1.1.0/24', 'fc00::/64'],
      `subnet "fd00::/16" specified in the flannel net config doesn't contain "fc00::/64" IPv6 PodCIDR of the "me" node`,
    ],
  ] as [string[], string][]) {
    const b = await harness(t, { netConf: DUAL });
    b.api.put(kubeNode('me', cidrs));
    await b.open();
    mentions(t, await refusal(t, () => b.acquire()), 'failed to acquire lease: ', says);
  }
});
