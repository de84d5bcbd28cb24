import t from 'tap';
import { netConfOf } from '../../../../../src/control/config/net-conf.js';
import { annotationPrefix, annotationsOf } from '../../../../../src/control/leases/kubernetes/annotations.js';
import { recordOf } from '../../../../../src/control/leases/kubernetes/node-record.js';
import { JsonFile } from '../../../../../src/control/support/json-file.js';
import { exchange } from '../../../../support/kube-exchanges.js';
import { PREFIX } from '../../../../support/kube-nodes.js';
import { leaseOf } from '../../../../support/leases.js';
import { refusal } from '../../../../support/user-error.js';

function confOf(text: string) {
  return netConfOf(JsonFile.parse('--net-config-path', 'net-conf.json', text));
}

const VXLAN = confOf('{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}');

t.test('annotationPrefix appends a missing slash or dash', async (t) => {
  for (const [text, prefix] of [
    ['flannel.alpha.coreos.com', 'flannel.alpha.coreos.com/'],
    ['org.com/', 'org.com/'],
    ['org.com/some', 'org.com/some-'],
    ['org.com/some-', 'org.com/some-'],
    ['org.com/s_1', 'org.com/s_1-'],
  ] as const) {
    t.equal(annotationPrefix(text), prefix);
  }
});

t.test("annotationPrefix refuses an invalid prefix in flannel's words", async (t) => {
  t.match(
    await refusal(t, () => annotationPrefix('a.com/b/c')),
    'subnet/kube: prefix can contain at most single slash',
  );
  for (const text of ['', 'org', 'org/x', 'org.com/Some', 'org.com/so.me']) {
    t.match(
      await refusal(t, () => annotationPrefix(text)),
      'subnet/kube: prefix must be in a format: fqdn/[0-9a-z-_]*',
    );
  }
});

t.test('annotationsOf writes the bytes that flannel writes', async (t) => {
  for (const [name, node] of [
    ['patch-annotations-status', 1],
    ['patch-annotations-status-noop', 1],
    ['patch-annotations-node', 2],
    ['patch-annotations-node3', 3],
    ['patch-annotations-node3-again', 3],
    ['patch-node4', 4],
    ['error-403-patch-node', 1],
  ] as const) {
    const lease = leaseOf(`10.244.${node}.0/24`, `192.0.2.1${node}`, `8a:2e:3f:11:00:0${node}`);
    const annotations = Object.entries(annotationsOf({ ipv4: lease }, VXLAN)).map(([key, value]) => [
      PREFIX + key,
      value,
    ]);
    const body = JSON.stringify({ metadata: { annotations: Object.fromEntries(annotations) } });
    t.equal(body, exchange(name).request.body, name);
    if (name.startsWith('error')) continue;
    const record = recordOf(JSON.parse(exchange(name).body), PREFIX);
    t.same(record?.annotations, annotationsOf({ ipv4: lease }, VXLAN), `${name}: and reads back`);
  }
});

t.test('annotationsOf with backend udp writes an empty type and null data', async (t) => {
  const udp = confOf('{"Network":"10.244.0.0/16","Backend":{"Type":"udp"}}');
  t.same(annotationsOf({ ipv4: leaseOf('10.244.1.0/24', '192.0.2.11') }, udp), {
    'backend-data': 'null',
    'backend-type': '',
    'kube-subnet-manager': 'true',
    'public-ip': '192.0.2.11',
  });
});

t.test('recordOf keeps the fields that Weft uses', async (t) => {
  const read = (name: string) => recordOf(JSON.parse(exchange(name).body), PREFIX);
  t.same(read('node-get'), {
    name: 'node-1',
    uid: 'f862fb66-5ffc-4f32-9d40-ea2ee395641d',
    createdAt: Date.parse('2026-11-21T07:13:32Z'),
    podCidrs: ['10.244.1.0/24'],
    annotations: {
      'backend-data': '{"VNI":1,"VtepMAC":"8a:2e:3f:11:00:01"}',
      'backend-type': 'vxlan',
      'kube-subnet-manager': 'true',
      'public-ip': '192.0.2.11',
    },
    networkUnavailable: 'False',
    ready: false,
  });
  t.same(read('node-get-fresh')?.annotations, {});
  t.equal(read('node-get-fresh')?.networkUnavailable, undefined);
  t.same(read('post-node4')?.podCidrs, ['10.244.4.0/24']);
  t.equal(read('patch-delete-annotation-null')?.annotations['backend-type'], undefined);
  t.equal(read('patch-merge-annotations')?.annotations['public-ip-overwrite'], '198.51.100.2');
  for (const name of ['delete-node4', 'version', 'error-404-node']) t.equal(read(name), undefined, name);
});

t.test('recordOf treats a field of a wrong type as missing', async (t) => {
  const fields = { uid: 1, creationTimestamp: {}, annotations: { [`${PREFIX}public-ip`]: 1 } };
  const wrong = [
    { metadata: { name: 'a', ...fields }, spec: { podCIDRs: 'x', podCIDR: [] }, status: { conditions: {} } },
    {
      metadata: { name: 'a', annotations: null },
      spec: { podCIDRs: [1, [[]]] },
      status: { conditions: [null] },
    },
    { metadata: { name: 'a' }, spec: null, status: null },
  ];
  for (const node of wrong) {
    const empty = { uid: '', createdAt: 0, podCidrs: [], annotations: {} };
    t.same(recordOf(node, PREFIX), { name: 'a', ...empty, networkUnavailable: undefined, ready: false });
  }
});

t.test('annotationsOf writes the annotations of the families in use', async (t) => {
  const ipv4 = leaseOf('10.244.1.0/24', '192.0.2.11', '8a:2e:3f:11:00:01');
  const ipv6 = {
    subnet: { base: 0xfd00n << 112n, prefixLength: 64 },
    publicIp: (0x2001_0db8n << 96n) + 1n,
    vtepMac: '8a:2e:3f:11:00:06',
  };
  t.equal(
    JSON.stringify(annotationsOf({ ipv4, ipv6 }, VXLAN)),
    '{"backend-data":"{\\"VNI\\":1,\\"VtepMAC\\":\\"8a:2e:3f:11:00:01\\"}","backend-type":"vxlan","backend-v6-data":"{\\"VNI\\":1,\\"VtepMAC\\":\\"8a:2e:3f:11:00:06\\"}","kube-subnet-manager":"true","public-ip":"192.0.2.11","public-ipv6":"2001:db8::1"}',
  );
  t.same(Object.keys(annotationsOf({ ipv6 }, VXLAN)), [
    ...['backend-type', 'backend-v6-data', 'kube-subnet-manager', 'public-ipv6'],
  ]);
});
