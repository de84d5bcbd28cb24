// Datagrams of a real flannel cluster (test/fixtures/flannel-vxlan-capture.txt, tcpdump -xxx): two kernel vxlan nodes,
// one TCP connection between their pods. They decode, and encode again to the same bytes.

import t from 'tap';
import { CHECKSUM_COMPLETE } from '../../../../src/dataplane/memory/batch.js';
import type { VxlanTunnel } from '../../../../src/dataplane/tunnel/vxlan.js';
import { hasReservedBits, hasVni, vniOf, writeVxlan } from '../../../../src/dataplane/wire/vxlan.js';
import { ipv4, toHex, viewOf } from '../../../support/bytes.js';
import { fixture, tcpdumpPackets } from '../../../support/fixtures.js';
import { Kit, setFdb, setOwnMac } from '../../../support/kit.js';
import { checksumsVerify } from '../../../support/reference.js';

const SLL2 = 20;
const IPV4 = 20;
const UDP = 8;
const VXLAN = 8;

const NODES: Record<string, string> = {
  '172.16.100.217': 'ca:58:46:9f:90:9f',
  '172.16.100.231': 'e6:28:e5:cd:55:90',
};

interface Datagram {
  from: string;
  to: string;
  payload: Uint8Array;
}

function datagram(packet: Uint8Array): Datagram {
  const ip = packet.slice(SLL2);
  return {
    from: ip.slice(12, 16).join('.'),
    to: ip.slice(16, 20).join('.'),
    payload: ip.slice(IPV4 + UDP, IPV4 + viewOf(ip).getUint16(IPV4 + 4)),
  };
}

const DATAGRAMS = tcpdumpPackets(fixture('flannel-vxlan-capture.txt')).map(datagram);

/** Returns the tunnel of one of the two nodes. */
function tunnelOf(kit: Kit, address: string): VxlanTunnel {
  const tunnel = kit.tunnel({ vni: 1, peerCheck: 'strict' });
  for (const [node, nodeMac] of Object.entries(NODES)) {
    if (node === address) setOwnMac(tunnel, nodeMac);
    else setFdb(tunnel, nodeMac, ipv4(node));
  }
  return tunnel;
}

t.test('the capture contains six datagrams between the two nodes', async (t) => {
  t.same(
    DATAGRAMS.map(({ from, to, payload }) => [from, to, payload.length]),
    [
      ['172.16.100.217', '172.16.100.231', 82],
      ['172.16.100.231', '172.16.100.217', 82],
      ['172.16.100.217', '172.16.100.231', 74],
      ['172.16.100.217', '172.16.100.231', 74],
      ['172.16.100.231', '172.16.100.217', 74],
      ['172.16.100.217', '172.16.100.231', 74],
    ],
  );
  t.ok(DATAGRAMS.every(({ payload }) => checksumsVerify(payload.slice(VXLAN))));
});

t.test('writeVxlan reproduces each header of the capture: VNI 1 without reserved bits', async (t) => {
  for (const { payload } of DATAGRAMS) {
    const view = viewOf(payload);
    t.equal(hasVni(view, 0), true);
    t.equal(vniOf(view, 0), 1);
    t.equal(hasReservedBits(view, 0), false);
    const written = new Uint8Array(VXLAN);
    writeVxlan(viewOf(written), 0, 1);
    t.equal(toHex(written), toHex(payload.slice(0, VXLAN)));
  }
});

for (const [index, { from, to, payload }] of DATAGRAMS.entries()) {
  const inner = payload.slice(VXLAN);

  t.test(`encapsulate reproduces the captured payload of datagram ${index + 1}`, async (t) => {
    const kit = new Kit();
    kit.fill([inner]);
    tunnelOf(kit, from).encapsulate(kit.batch);
    t.same(kit.packets().map(toHex), [toHex(payload)]);
    t.equal(kit.batch.address[0], ipv4(to));
    t.same(kit.counted(), {});
  });

  t.test(`decapsulate returns the inner frame of datagram ${index + 1}`, async (t) => {
    const kit = new Kit();
    kit.fill([payload], ipv4(from));
    tunnelOf(kit, to).decapsulate(kit.batch);
    t.same(kit.packets().map(toHex), [toHex(inner)]);
    t.equal(kit.batch.checksum[0], CHECKSUM_COMPLETE);
    t.equal(kit.batch.gsoSize[0], 0);
    t.same(kit.counted(), {});
  });
}

t.test('decapsulate returns the inner frames of a captured batch in order', async (t) => {
  const to = '172.16.100.231';
  const payloads = DATAGRAMS.filter((one) => one.to === to).map(({ payload }) => payload);
  const kit = new Kit();
  kit.fill(payloads, ipv4('172.16.100.217'));
  tunnelOf(kit, to).decapsulate(kit.batch);
  t.same(
    kit.packets().map(toHex),
    payloads.map((payload) => toHex(payload.slice(VXLAN))),
  );
});
