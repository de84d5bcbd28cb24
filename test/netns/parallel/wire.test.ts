/** The bytes of backend vxlan on the wire, as a hand-made peer and tcpdump see them. */

import t from 'tap';
import { ping } from '../../../lab/traffic/ping.js';
import { internetChecksum } from '../peer/frames.js';
import { HandmadePeer } from '../peer/handmade.js';
import { makeBed, startWeft } from '../support/bed.js';
import { captured } from '../support/capture.js';
import { answered } from '../support/pings.js';

t.test('backend vxlan sends and receives the documented bytes', async (t) => {
  // Without checksum offload tcpdump sees what a wire would carry.
  const lab = await makeBed(t, { name: 'wire', mode: 'plain' });
  const peer = await HandmadePeer.start(lab.node(2), lab.node(1), { answers: ['10.244.2.11'] });
  // The fast path writes no UDP checksum.
  await startWeft(t, lab.node(1), { flags: ['--offload', 'gso'] });

  await t.test("a pod's pings are answered by frames built by hand", async (t) => {
    await answered(t, lab.pod(1), '10.244.2.11', 'all of them', { count: 5, size: 1000 });
    t.equal(peer.received.length, peer.echoes().length, 'nothing else arrives');
  });

  await t.test('the datagram is VXLAN header, Ethernet header and packet, to the byte', async (t) => {
    peer.received.length = 0;
    await ping(lab.pod(1).netns, '10.244.2.11', { count: 1, size: 16 });
    const [datagram] = peer.received;
    t.equal(datagram.from, '192.168.77.1', "from the lease's address");
    const bytes = datagram.hex;
    t.equal(bytes.slice(0, 16), '0800000000000100', 'I flag and VNI 1, every reserved bit zero');
    t.equal(bytes.slice(16, 44), '020000000002' + '020000000001' + '0800', "peer's MAC, own MAC, IPv4");
    t.equal(bytes.length / 2, 8 + 14 + 20 + 8 + 16, 'nothing follows the packet');
  });

  await t.test("the outer headers equal those of the kernel's vxlan", async (t) => {
    const [packet] = await captured(lab.node(2), 'udp dst port 8472 and src host 192.168.77.1', 1, () =>
      ping(lab.pod(1).netns, '10.244.2.11', { count: 1 }),
    );
    const udp = packet.subarray(20);
    t.equal(packet[0], 0x45, 'IPv4 without options');
    t.equal(packet[1], 0, 'TOS 0');
    t.equal(packet.readUInt16BE(6), 0, 'DF clear, not a fragment');
    t.equal(packet[8], 64, 'TTL 64');
    t.equal(packet[9], 17, 'UDP');
    t.equal(udp.readUInt16BE(2), 8472, 'to the port of net-conf');
    t.equal(udp.readUInt16BE(4), udp.length, 'UDP length');
    t.not(udp.readUInt16BE(6), 0, 'with a UDP checksum');
    const pseudoHeader = Buffer.concat([packet.subarray(12, 20), Buffer.from([0, 17]), udp.subarray(4, 6)]);
    t.equal(internetChecksum(Buffer.concat([pseudoHeader, udp])), 0, 'which is correct');
  });
});

t.test('VNI and port on the wire are those of net-conf', async (t) => {
  const lab = await makeBed(t, { name: 'wirevni' });
  const peer = await HandmadePeer.start(lab.node(2), lab.node(1), {
    port: 4789,
    vni: 0x345678,
    answers: ['10.244.2.11'],
  });
  await startWeft(t, lab.node(1), {
    netConf: { Network: '10.244.0.0/16', Backend: { Type: 'vxlan', VNI: 0x345678, Port: 4789 } },
  });
  await answered(t, lab.pod(1), '10.244.2.11');
  t.match(peer.received[0].hex, /^0800000034567800/);
});
