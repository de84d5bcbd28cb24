/**
 * Backend udp on the wire: datagrams to the byte, TTL, ICMP errors and drops, with a hand-made peer of node:dgram
 * and literal bytes.
 */

import t from 'tap';
import { exec } from '../../../lab/exec.js';
import { udpConf } from '../../../lab/leases.js';
import type { Pod } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { internetChecksum, withHeader } from '../peer/frames.js';
import { atLevel, makeBed, startWefts, USERSPACE_LEVELS } from '../support/bed.js';
import { captured } from '../support/capture.js';
import { assertDrops, type DropCase } from '../support/drop-bed.js';
import { answered } from '../support/pings.js';
import { statusOf } from '../support/state.js';
import {
  countedUdp,
  makeUdpBed,
  markUdp,
  packet,
  UDP_DEVICE,
  UDP_UNKNOWN_SOURCE,
} from '../support/udp-bed.js';

/** Offsets in an IPv4 header (RFC 791). */
const VERSION = 0;
const LENGTH = 2;
const TTL = 8;

/** ICMP types (RFC 792). */
const TIME_EXCEEDED = 11;

/** Returns what ping prints, answered or not. */
async function pinged(from: Pod, ...args: readonly string[]): Promise<string> {
  const argv = ['sh', '-c', '"$@"; [ $? -le 1 ]', 'ping', 'ping', '-n', '-W', '1', ...args];
  return (await exec(argv, { netns: from.netns })).stdout;
}

for (const level of USERSPACE_LEVELS) {
  t.test(`backend udp at offload level ${level} sends and receives the documented bytes`, async (t) => {
    const bed = await makeUdpBed(t, `udpwire${level}`, { netConf: udpConf(), ...atLevel(level) });
    const { lab, peer } = bed;
    await markUdp(bed);

    await t.test(
      "the datagram is the pod's packet with TTL - 2: one by the host, one by the tunnel",
      async (t) => {
        peer.received.length = 0;
        const code = `const s = require('node:dgram').createSocket('udp4');
        s.bind(4000, () => s.send('weft', 5000, '10.244.2.11', () => s.close()));`;
        await exec([process.execPath, '-e', code], { netns: lab.pod(1).netns });
        const sent = await until('the datagram', () =>
          peer.received.find(({ hex }) => hex.endsWith('77656674')),
        );
        // The kernel chooses the identification, and the header's checksum depends on it.
        const sample = Buffer.from(
          '4500002000004000' + '3e110000' + '0af4010b0af4020b' + '0fa01388000ce5d6' + '77656674',
          'hex',
        );
        const [first = 0, second = 0] = Buffer.from(sent.hex, 'hex').subarray(4, 6);
        const expected = withHeader(sample, { 4: first, 5: second });
        t.strictSame(sent, { hex: expected.toString('hex'), from: '192.168.77.1', port: 8285 });
      },
    );

    await t.test(
      "a peer's packet reaches the pod whole with TTL - 2: one by the tunnel, one by the host",
      async (t) => {
        const head = '4500002312340000';
        const rest = '0af4020b0af4010b' + '13880fa0000f216a' + '666c616e6e656c';
        const sent = Buffer.from(`${head}40114f99${rest}`, 'hex');
        const [arrived] = await captured(
          lab.node(1),
          'udp dst port 4000',
          1,
          () => peer.send(sent),
          lab.pod(1),
        );
        t.equal(arrived?.toString('hex'), `${head}3e115199${rest}`);
      },
    );

    await t.test("a pod's pings are answered by packets built by hand", async (t) => {
      await answered(t, lab.pod(1), '10.244.2.99', 'all of them', { count: 5, size: 1000 });
    });

    await t.test('the outer headers are those of an ordinary UDP socket', async (t) => {
      const [outer = Buffer.alloc(0)] = await captured(lab.node(2), 'udp and src host 192.168.77.1', 1, () =>
        pinged(lab.pod(1), '-c', '1', '10.244.2.99'),
      );
      const udp = outer.subarray(20);
      t.equal(outer[0], 0x45, 'IPv4 without options');
      t.equal(outer.readUInt16BE(6), 0, 'DF clear, not a fragment');
      t.equal(outer[8], 64, 'TTL 64');
      t.equal(udp.readUInt16BE(0), 8285, 'from the own port');
      t.equal(udp.readUInt16BE(2), 8285, 'to the same');
      t.not(udp.readUInt16BE(6), 0, 'with a UDP checksum');
      const pseudoHeader = Buffer.concat([outer.subarray(12, 20), Buffer.from([0, 17]), udp.subarray(4, 6)]);
      t.equal(internetChecksum(Buffer.concat([pseudoHeader, udp])), 0, 'which is correct');
    });
  });
}

t.test('TTL between two Weft nodes', async (t) => {
  const lab = await makeBed(t, { name: 'udpttl' });
  await startWefts(t, lab.nodes, { netConf: udpConf() });
  const ttl = (output: string) => Number(/ ttl=(\d+) /.exec(output)?.[1]);

  await t.test("each node's tunnel end decrements the TTL by one", async (t) => {
    const { stdout } = await lab.node(1).exec('ping -n -c 1 -W 1 10.244.2.0'.split(' '));
    t.equal(ttl(stdout), 64 - 2, 'node to node, where no host forwards');
    const between = await pinged(lab.pod(1), '-c', '1', lab.pod(2).address);
    t.equal(ttl(between), 64 - 2 - 2, 'pod to pod, where two hosts do');
  });

  await t.test('Time Exceeded comes from the hop where the TTL expires', async (t) => {
    // Host 1, the tunnel's end there, the tunnel's end on node 2, host 2 by the device's address; then the pod.
    const hops = ['10.244.1.1', '10.244.1.0', '10.244.2.0', '10.244.2.0'];
    for (const [index, hop] of hops.entries()) {
      const output = await pinged(lab.pod(1), '-c', '1', '-t', `${index + 1}`, lab.pod(2).address);
      t.match(output, `From ${hop} icmp_seq=1 Time to live exceeded`, `TTL ${index + 1}`);
    }
    t.equal(ttl(await pinged(lab.pod(1), '-c', '1', '-t', '5', lab.pod(2).address)), 60, 'TTL 5 is enough');
  });
});

t.test('backend udp drops packets that it cannot forward', async (t) => {
  const bed = await makeUdpBed(t, 'udptxdrops');
  const pod = bed.lab.pod(1);
  await markUdp(bed);

  await t.test('a packet without a route is dropped, and the pod gets Net Unreachable', async (t) => {
    let output = '';
    const changes = await countedUdp(bed, async () => {
      output = await pinged(pod, '-c', '2', '-i', '0.2', '10.244.99.1');
    });
    for (const sequence of [1, 2]) {
      t.match(output, `From 10.244.1.0 icmp_seq=${sequence} Destination Net Unreachable`);
    }
    // The tunnel's own ICMP errors enter the node like any packet.
    t.strictSame(changes, { tx_drop_no_route: 2, tx_icmp_sent: 2, rx_packets: 2 });
  });

  await t.test('of fragments without a route, only the first causes an ICMP error', async (t) => {
    const changes = await countedUdp(bed, async () => {
      await pinged(pod, '-c', '1', '-s', '8000', '10.244.99.1');
    });
    // 8008 bytes in pieces of 1424, the multiple of 8 that fits into 1450 - 20.
    t.strictSame(changes, { tx_drop_no_route: 6, tx_icmp_sent: 1, rx_packets: 1 });
  });

  await t.test('an address of no peer within the own subnet has no route', async (t) => {
    await bed.lab.node(1).exec('ip route delete 10.244.1.0/24 dev cni0'.split(' '));
    const { stdout } = await bed.lab
      .node(1)
      .exec(['sh', '-c', 'ping -n -c 1 -W 1 10.244.1.77; [ $? -eq 1 ]']);
    t.match(stdout, 'Destination Net Unreachable');
    await bed.lab.node(1).exec('ip route add 10.244.1.0/24 dev cni0'.split(' '));
  });

  await t.test('a packet with TTL 2 expires in the tunnel, and the pod gets Time Exceeded', async (t) => {
    let output = '';
    const changes = await countedUdp(bed, async () => {
      output = await pinged(pod, '-c', '1', '-t', '2', '10.244.2.99');
    });
    t.match(output, 'From 10.244.1.0 icmp_seq=1 Time to live exceeded');
    t.strictSame(changes, { tx_drop_ttl: 1, tx_icmp_sent: 1, rx_packets: 1 });
  });
});

t.test('backend udp drops datagrams under one counter each:', async (t) => {
  const bed = await makeUdpBed(t, 'udprxdrops');
  const { lab, peer } = bed;
  await markUdp(bed);
  const good = packet();

  const cases: DropCase[] = [
    {
      what: 'a datagram shorter than an IPv4 header, rx_drop_runt',
      datagrams: [0, 1, 19].map((length) => packet().subarray(0, length)),
      counter: 'rx_drop_runt',
    },
    {
      what: 'any version but 4, rx_drop_not_ipv4',
      datagrams: [
        ...[0x05, 0x55, 0x65, 0xf5].map((first) => withHeader(packet(), { [VERSION]: first })),
        Buffer.concat([Buffer.from('6000000000003b40', 'hex'), Buffer.alloc(32)]),
      ],
      counter: 'rx_drop_not_ipv4',
    },
    {
      what: "an IPv4 length other than the datagram's, rx_drop_bad_length",
      datagrams: [
        withHeader(packet(), { [LENGTH]: 0xff }),
        withHeader(packet(), { [LENGTH + 1]: good.length + 1 }),
        withHeader(packet(), { [LENGTH + 1]: good.length - 1 }),
        withHeader(packet(), { [LENGTH + 1]: 19 }),
        Buffer.concat([packet(), Buffer.alloc(4)]),
      ],
      counter: 'rx_drop_bad_length',
    },
    {
      what: "an inner source outside the peer's lease, rx_drop_wrong_source",
      datagrams: ['10.244.3.11', '10.99.0.1', '10.244.1.11'].map((from) => packet({ from })),
      counter: 'rx_drop_wrong_source',
    },
    {
      what: 'an outer source without a lease, rx_drop_unknown_vtep',
      datagrams: [packet(), packet({ from: '10.99.0.1' })],
      counter: 'rx_drop_unknown_vtep',
      sent: { from: UDP_UNKNOWN_SOURCE },
    },
  ];
  await assertDrops(t, bed, cases, UDP_DEVICE, (act) => countedUdp(bed, act));

  await t.test(
    'an incoming packet whose TTL expires is dropped, and its source gets Time Exceeded',
    async (t) => {
      peer.received.length = 0;
      const expired = withHeader(packet(), { [TTL]: 1 });
      const changes = await countedUdp(bed, () => peer.send(expired));
      t.equal(changes.rx_drop_ttl, 1);
      t.equal(changes.rx_icmp_sent, 1);
      const reply = await until('Time Exceeded', () =>
        peer.received
          .map(({ hex }) => Buffer.from(hex, 'hex'))
          .find((bytes) => bytes[9] === 1 && bytes[20] === TIME_EXCEEDED),
      );
      t.equal(reply.subarray(12, 16).join('.'), '10.244.1.0', "from the device's address");
      t.equal(reply.subarray(16, 20).join('.'), '10.244.2.11', 'to the inner source');
      t.equal(reply[21], 0, 'in transit (RFC 792, code 0)');
      t.equal(internetChecksum(reply.subarray(20)), 0, 'with a right checksum');
      t.equal(
        reply.subarray(28, 48).toString('hex'),
        expired.subarray(0, 20).toString('hex'),
        'about its header',
      );
    },
  );

  await t.test('a known peer may send from any port', async (t) => {
    const changes = await countedUdp(bed, () =>
      peer.send(packet(), { from: { address: lab.node(2).address, port: 50_000 } }),
    );
    t.strictSame(changes, { tx_packets: 1, rx_packets: 1 });
  });
});

for (const [mode, verdicts] of [
  ['strict', ['rx_packets', 'rx_drop_wrong_source', 'rx_drop_wrong_source', 'rx_drop_unknown_vtep']],
  ['mac', ['rx_packets', 'rx_packets', 'rx_drop_wrong_source', 'rx_packets']],
  ['off', ['rx_packets', 'rx_packets', 'rx_packets', 'rx_packets']],
] as const) {
  t.test(`--peer-check ${mode} accepts and drops packets by source`, async (t) => {
    const bed = await makeUdpBed(t, `udpcheck${mode}`, { flags: ['--peer-check', mode] });
    t.equal((await statusOf(bed.weft)).peerCheck, mode);
    await markUdp(bed);
    const senders = [
      ["a lease's subnet from its address", packet(), {}],
      ["a lease's subnet from another lease's address", packet({ from: '10.244.3.11' }), {}],
      ['a source of no lease from a known address', packet({ from: '10.99.0.1' }), {}],
      ["a lease's subnet from an unknown address", packet(), { from: UDP_UNKNOWN_SOURCE }],
    ] as const;
    for (const [index, [what, datagram, from]] of senders.entries()) {
      const verdict = verdicts[index];
      const { tx_packets, ...changes } = await countedUdp(bed, () => bed.peer.send(datagram, from));
      t.strictSame(changes, { [verdict]: 1 }, `${what}: ${verdict}`);
    }
  });
}
