import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../../../../../lab/until.js';
import { valueIn } from '../../../../../src/control/addresses/family.js';
import { ip } from '../../../../support/addresses.js';
import { kubeNode, PREFIX, peerNode, vxlanAnnotations } from '../../../../support/kube-nodes.js';
import { type Harness, harness, textOf } from '../../../../support/kube-source.js';

const MAC = '8a:2e:3f:11:00:01';
const PEER = '10.100.1.0/24 at 172.16.0.1';

function macOf(b: Harness): string | undefined {
  return JSON.parse(b.api.nodes.get('me')?.metadata.annotations?.[`${PREFIX}backend-data`] ?? '{}').VtepMAC;
}

function publicIpOf(b: Harness): string | undefined {
  return b.api.nodes.get('me')?.metadata.annotations?.[`${PREFIX}public-ip`];
}

/** Moves the node to an address. */
async function move(b: Harness, address: string): Promise<void> {
  const ipv4 = { ...valueIn(b.request.families, 'ipv4'), addresses: [ip(address)], publicIp: ip(address) };
  await b.source.move({ ...b.request, families: { ipv4 } });
}

t.test('acquire publishes another random MAC on each machine', async (t) => {
  const macs: unknown[] = [];
  for (let machine = 0; machine < 2; machine++) {
    const b = await harness(t);
    const { ipv4 } = await b.start();
    t.match(ipv4?.own.vtepMac, /^.[26ae](:..){5}$/, 'locally administered, unicast');
    t.equal(macOf(b), ipv4?.own.vtepMac);
    macs.push(ipv4?.own.vtepMac);
  }
  t.not(macs[0], macs[1]);
});

/** Writes the file of stored MACs. */
function store(b: Harness, text: string): void {
  mkdirSync(join(b.api.dir, 'run'));
  writeFileSync(join(b.api.dir, 'run/vtep-macs.json'), text);
}

t.test('acquire stores the MAC in the run directory before it publishes it', async (t) => {
  const b = await harness(t);
  writeFileSync(join(b.api.dir, 'run'), 'not a directory');
  await b.open();
  await t.rejects(b.acquire(), { message: '/run: cannot store the VTEP MAC there: ' });
  t.equal(b.api.seen('PATCH', /./).length, 0);
});

t.test('acquire takes the MAC of the run directory for a Node that was registered again', async (t) => {
  const b = await harness(t);
  const { ipv4 } = await b.start();
  const text = readFileSync(join(b.api.dir, 'run/vtep-macs.json'), 'utf8');
  t.equal(text, `{"1":{"ipv4":"${ipv4?.own.vtepMac}"}}\n`);
  const again = await harness(t);
  store(again, text);
  t.equal((await again.start()).ipv4?.own.vtepMac, ipv4?.own.vtepMac);
});

t.test('acquire prefers the annotation, then the adopted device, then the run directory', async (t) => {
  const adopted = '02:00:00:00:0a:0a';
  for (const [published, adopts, expected] of [
    ['02:00:00:00:0b:0b', adopted, '02:00:00:00:0b:0b'],
    [undefined, adopted, adopted],
    [undefined, undefined, MAC],
  ] as const) {
    const b = await harness(t);
    store(b, `{"1":{"ipv4":"${MAC}"}}`);
    if (published !== undefined)
      b.api.put(kubeNode('me', ['10.1.1.0/24'], vxlanAnnotations('192.0.2.1', published)));
    await b.open();
    const { request } = b;
    const ipv4 = { ...valueIn(request.families, 'ipv4'), vtepMac: adopts };
    const sets = await b.source.acquire({ ...request, families: { ipv4 } }, new AbortController().signal);
    t.equal(sets.ipv4?.own.vtepMac, expected);
  }
});

t.test('acquire generates another MAC if another Node has the stored one', async (t) => {
  const b = await harness(t);
  store(b, `{"1":{"ipv4":"${MAC}"}}`);
  b.api.put(kubeNode('pi-old', ['10.9.9.0/24'], vxlanAnnotations('192.0.2.1', MAC)));
  const { ipv4 } = await b.start();
  t.not(ipv4?.own.vtepMac, MAC);
});

t.test('acquire ignores an invalid file in the run directory', async (t) => {
  for (const text of ['{', 'null', '{"1":{"ipv4":7}}', '{"1":null}', '{"2":{"ipv4":"02:00:00:00:00:09"}}']) {
    const b = await harness(t);
    store(b, text);
    t.match((await b.start()).ipv4?.own.vtepMac, /^.[26ae](:..){5}$/);
  }
});

t.test('move publishes the new address with the same subnet and MAC, and delivers the lease', async (t) => {
  const b = await harness(t);
  b.api.put(peerNode(1));
  await b.start();
  const mac = macOf(b);
  await move(b, '192.0.2.7');
  await b.delivered('10.1.1.0/24 at 192.0.2.7', PEER);
  await until('the annotation', () => publicIpOf(b) === '192.0.2.7');
  t.equal(macOf(b), mac);
  await move(b, '192.0.2.7');
  await move(b, '192.0.2.8');
  await move(b, '192.0.2.9');
  await b.delivered('10.1.1.0/24 at 192.0.2.9', PEER);
  await until('the annotation', () => publicIpOf(b) === '192.0.2.9');
  b.api.change('me', (node) => Object.assign(node.metadata, { annotations: {} }));
  await until('the annotation again', () => publicIpOf(b) === '192.0.2.9');
});

t.test('move keeps the address of public-ip-overwrite', async (t) => {
  const b = await harness(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], { [`${PREFIX}public-ip-overwrite`]: '203.0.113.5' }));
  await b.start();
  await move(b, '192.0.2.7');
  b.api.put(peerNode(1));
  await b.delivered('10.1.1.0/24 at 203.0.113.5', PEER);
  t.equal(publicIpOf(b), '203.0.113.5');
});

t.test('move leaves out a peer that has the new address', async (t) => {
  const b = await harness(t);
  b.api.put(peerNode(1));
  await b.start();
  await move(b, '172.16.0.1');
  await b.delivered('10.1.1.0/24 at 172.16.0.1');
  await b.logged('node-1 is left out: its public IP 172.16.0.1 belongs to me too');
});

t.test('move before watch is followed by watch', async (t) => {
  const b = await harness(t);
  await b.open();
  t.same(textOf(await b.acquire()), ['10.1.1.0/24 at 192.0.2.1']);
  await move(b, '192.0.2.7');
  b.source.watch({
    onLeases: async (sets) => void b.sets.push(textOf(sets)),
    onRefused: (error) => b.refusals.push(error.message),
    onRevoked: () => {},
  });
  await b.delivered('10.1.1.0/24 at 192.0.2.7');
  await until('the annotation', () => publicIpOf(b) === '192.0.2.7');
});

t.test('move during an outage is published once the API server is back', async (t) => {
  const b = await harness(t);
  await b.start();
  await b.api.stop();
  await b.logged('lost the Kubernetes API server');
  await move(b, '192.0.2.7');
  await b.delivered('10.1.1.0/24 at 192.0.2.7');
  await b.logged('Failed to patch node "me": ');
  await b.api.restart();
  await until('the annotation', () => publicIpOf(b) === '192.0.2.7');
});

t.test('move replaces a watch that would stay silent, without an outage in the log', async (t) => {
  const b = await harness(t);
  await b.start();
  const watches = b.api.seen('GET', /watch=/).length;
  await move(b, '192.0.2.7');
  await until('another watch', () => b.api.seen('GET', /watch=/).length > watches);
  b.api.put(peerNode(1));
  await b.delivered('10.1.1.0/24 at 192.0.2.7', PEER);
  t.notOk(b.lines.some((line) => line.includes('lost the Kubernetes API server')));
});
