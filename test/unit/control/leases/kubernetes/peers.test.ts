import t from 'tap';
import type { KubeNode } from '../../../../support/kube-nodes.js';
import { kubeNode, PREFIX, peerNode, vxlanAnnotations } from '../../../../support/kube-nodes.js';
import { type Harness, harness, textOf } from '../../../../support/kube-source.js';

const OWN = '10.1.1.0/24 at 192.0.2.1';
const PEER = '10.100.1.0/24 at 172.16.0.1';
const OTHER = '10.100.2.0/24 at 172.16.0.2';

function setAnnotation(name: string, value: string | undefined): (node: KubeNode) => void {
  return ({ metadata }) => {
    const annotations = { ...metadata.annotations };
    delete annotations[PREFIX + name];
    metadata.annotations = value === undefined ? annotations : { ...annotations, [PREFIX + name]: value };
  };
}

/** Adds another peer and waits for the set with it, which comes after everything before. */
async function synced(b: Harness, ...leases: string[]): Promise<void> {
  b.api.put(peerNode(2));
  await b.delivered(...leases, OTHER);
}

for (const [what, annotation, value, says] of [
  ['junk backend-data', 'backend-data', 'junk', 'backend-data is "junk", without a unicast VtepMAC'],
  ['no backend-data', 'backend-data', undefined, 'backend-data is missing, without'],
  ['a bogus public-ip', 'public-ip', '999', 'invalid IP address format: public-ip is "999"'],
  ['no public-ip', 'public-ip', undefined, 'invalid IP address format: public-ip is missing'],
  ['another backend type', 'backend-type', 'host-gw', 'type=host-gw'],
  ['no backend type', 'backend-type', undefined, 'ignoring non-vxlan'],
  ['no kube-subnet-manager', 'kube-subnet-manager', undefined, 'kube-subnet-manager is missing, not "true"'],
] as const) {
  t.test(`LeaseSetBuilder keeps the lease of a node that gets ${what}, and logs it once`, async (t) => {
    const b = await harness(t);
    b.api.put(peerNode(1));
    t.same(textOf(await b.start()), [OWN, PEER]);
    b.api.change('node-1', setAnnotation(annotation, value));
    await b.logged(says);
    b.api.change('node-1', (node) => void node.status.conditions?.push({ type: 'Ready', status: 'False' }));
    b.api.change('node-1', setAnnotation('public-ip-overwrite', 'changes the record'));
    await synced(b, OWN, PEER);
    const lines = b.lines.filter((line) => line.includes(says));
    t.equal(lines.length, 1);
    t.match(lines[0], 'its last valid lease stays in use');
    b.api.put(peerNode(1, { 'public-ip': '172.16.0.9' }));
    await b.delivered(OWN, '10.100.1.0/24 at 172.16.0.9', OTHER);
    t.equal(b.sets.length, 2, 'only changes are delivered');
  });
}

t.test('LeaseSetBuilder drops the kept lease when the Node is deleted', async (t) => {
  const b = await harness(t);
  b.api.put(peerNode(1));
  await b.start();
  b.api.change('node-1', setAnnotation('backend-data', 'junk'));
  await synced(b, OWN, PEER);
  b.api.remove('node-1');
  await b.delivered(OWN, OTHER);
});

t.test('LeaseSetBuilder drops the kept lease of a name that is registered again', async (t) => {
  const b = await harness(t);
  b.api.put(peerNode(1));
  await b.start();
  const invalid = vxlanAnnotations('172.16.0.1', 'no MAC');
  b.api.put(kubeNode('node-1', ['10.100.1.0/24'], invalid, 'another'));
  await b.delivered(OWN);
  await b.logged('Error turning node "node-1" to lease: ');
});

/** Two nodes with one MAC at two addresses: node-1, which is not ready, and node-2. */
function contradicting(): KubeNode[] {
  const dead = peerNode(1);
  dead.status.conditions = [{ type: 'Ready', status: 'Unknown' }];
  const live = peerNode(2, { 'backend-data': dead.metadata.annotations?.[`${PREFIX}backend-data`] });
  return [dead, live];
}

t.test('KubernetesLeaseSource follows a change of the condition Ready alone', async (t) => {
  const b = await harness(t);
  for (const node of contradicting()) b.api.put(node);
  t.same(textOf(await b.start()), [OWN, OTHER]);
  await b.logged('node-1 is left out: its VtepMAC 02:00:00:00:00:01 belongs to node-2 at 172.16.0.2 too');
  b.api.change('node-1', (node) => {
    node.status.conditions = [{ type: 'Ready', status: 'True' }];
  });
  b.api.change('node-2', (node) => {
    node.status.conditions = [{ type: 'Ready', status: 'False' }];
  });
  await b.delivered(OWN, PEER);
  await b.logged('node-2 is left out: ');
});

t.test('KubernetesLeaseSource prefers the node that was registered last', async (t) => {
  const b = await harness(t);
  for (const [index, node] of contradicting().entries()) {
    node.status.conditions = [{ type: 'Ready', status: 'True' }];
    node.metadata.creationTimestamp = `2026-11-2${index}T00:00:00Z`;
    b.api.put(node);
  }
  t.same(textOf(await b.start()), [OWN, OTHER]);
  await b.logged('the lease of node-2 stays because it is newer');
});

t.test(
  'KubernetesLeaseSource delivers no set for heartbeats and readiness without contradiction',
  async (t) => {
    const b = await harness(t);
    b.api.put(peerNode(1));
    await b.start();
    for (const status of ['Unknown', 'True', 'Unknown']) {
      b.api.change('node-1', (node) => {
        node.status.conditions = [{ type: 'Ready', status, lastHeartbeatTime: String(Math.random()) }];
      });
    }
    await synced(b, OWN, PEER);
    t.equal(b.sets.length, 1);
  },
);

for (const conf of ['vxlan', 'udp']) {
  t.test(`KubernetesLeaseSource with ${conf} accepts a dead node at the address of a live one`, async (t) => {
    const b = await harness(t, { netConf: `{"Network":"10.0.0.0/8","Backend":{"Type":"${conf}"}}` });
    b.api.put(peerNode(1));
    await b.start();
    for (const name of ['a-old', 'z-old']) {
      const gone = kubeNode(name, ['10.9.9.0/24'], vxlanAnnotations('172.16.0.1', '02:00:00:00:09:09'));
      gone.status.conditions = [{ type: 'Ready', status: 'Unknown' }];
      b.api.put(gone);
      const both = [PEER, '10.9.9.0/24 at 172.16.0.1'];
      await b.delivered(OWN, ...(name === 'a-old' ? both.reverse() : both));
      b.api.remove(name);
      await b.delivered(OWN, PEER);
    }
  });
}
