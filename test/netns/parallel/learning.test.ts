/**
 * net-conf `Learning: true`: Weft sends frames to the VTEP that last sent from their MAC, unless a lease has the MAC.
 */

import t from 'tap';
import { ipBatch } from '../../../lab/ip.js';
import { netConf } from '../../../lab/leases.js';
import { ping } from '../../../lab/traffic/ping.js';
import { HandmadePeer } from '../peer/handmade.js';
import { makeBed, startWeft } from '../support/bed.js';
import {
  counted,
  LEASED_MAC,
  makeDropBed,
  mark,
  request,
  STRANGE_MAC,
  UNKNOWN_SOURCE,
} from '../support/drop-bed.js';
import { answered } from '../support/pings.js';
import { statusOf } from '../support/state.js';

/** `ip` lines that let the node send to a MAC without a lease. */
const TO_UNKNOWN_SOURCE = [
  `neigh replace 10.244.99.1 lladdr ${STRANGE_MAC} dev flannel.1 nud permanent`,
  'route replace 10.244.99.1/32 dev flannel.1',
];

t.test('Weft with Learning: true', async (t) => {
  const bed = await makeDropBed(t, 'learning', { netConf: netConf({ Learning: true }) });
  const node = bed.lab.node(1);
  const elsewhere = await HandmadePeer.start(bed.lab.node(2), node, {
    address: UNKNOWN_SOURCE.address,
    mac: STRANGE_MAC,
    answers: ['10.244.99.1'],
  });
  await mark(bed);
  await ipBatch(node.netns, TO_UNKNOWN_SOURCE);
  const learned = async () =>
    (await statusOf(bed.weft)).learned?.map(({ mac, publicIP }) => `${mac} ${publicIP}`);

  await t.test('learns nothing before the first frame', async (t) => {
    t.strictSame(await learned(), []);
    const { received } = await ping(node.netns, '10.244.99.1', { count: 1, wait: 0.1 });
    t.equal(received, 0);
  });

  await t.test('learns a MAC from a frame of an address without a lease', async (t) => {
    t.strictSame(await counted(bed, () => elsewhere.send(request({ sourceMac: STRANGE_MAC }))), {
      tx_packets: 1,
      rx_packets: 1,
    });
    t.strictSame(await learned(), [`${STRANGE_MAC} ${UNKNOWN_SOURCE.address}`]);
    t.match(
      await bed.weft.statusText(),
      new RegExp(`learned \\(1\\)[^]*${STRANGE_MAC} +${UNKNOWN_SOURCE.address}`),
    );
  });

  await t.test('sends frames for a learned MAC to that address', async (t) => {
    await answered(t, node, '10.244.99.1');
  });

  await t.test('moves a learned MAC to the source of its last frame', async (t) => {
    await bed.peer.send(request({ sourceMac: STRANGE_MAC }));
    await mark(bed);
    t.strictSame(await learned(), [`${STRANGE_MAC} ${bed.lab.node(2).address}`]);
    await elsewhere.send(request({ sourceMac: STRANGE_MAC }));
    await mark(bed);
    t.strictSame(await learned(), [`${STRANGE_MAC} ${UNKNOWN_SOURCE.address}`]);
  });

  await t.test('does not learn the MAC of a lease', async (t) => {
    const before = elsewhere.received.length;
    await elsewhere.send(request({ sourceMac: LEASED_MAC }));
    await mark(bed);
    t.strictSame(await learned(), [`${STRANGE_MAC} ${UNKNOWN_SOURCE.address}`]);
    await ping(node.netns, '10.244.3.11', { count: 1, wait: 0.1 });
    await mark(bed);
    t.equal(elsewhere.received.length, before, 'frames for the lease do not go to the forger');
  });
});

t.test('Weft without Learning learns nothing, even with --peer-check off', async (t) => {
  const bed = await makeDropBed(t, 'nolearning', { flags: ['--peer-check', 'off'] });
  const node = bed.lab.node(1);
  await mark(bed);
  await ipBatch(node.netns, TO_UNKNOWN_SOURCE);
  const changes = await counted(bed, async () => {
    await bed.peer.send(request({ sourceMac: STRANGE_MAC }));
    await mark(bed);
    await ping(node.netns, '10.244.99.1', { count: 1, wait: 0.1 });
  });
  t.strictSame(changes, { tx_packets: 2, rx_packets: 2, tx_drop_unknown_mac: 1 });
  t.equal((await statusOf(bed.weft)).learned, null);
});

t.test('two Weft nodes with Learning reach each other by their leases', async (t) => {
  const lab = await makeBed(t, { name: 'learnboth' });
  for (const node of lab.nodes) await startWeft(t, node, { netConf: netConf({ Learning: true }) });
  await answered(t, lab.pod(1), lab.pod(2).address);
});
