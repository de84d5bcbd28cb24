/** Every dropped packet is counted under exactly one counter, that of its cause. */

import t from 'tap';
import { exec } from '../../../lab/exec.js';
import { ipBatch, sysctl } from '../../../lab/ip.js';
import { until } from '../../../lab/until.js';
import { DIST } from '../../../lab/world.js';
import {
  assertDrops,
  type Bed,
  counted,
  type DropCase,
  LEASED_MAC,
  makeDropBed,
  mark,
  PEER_MAC,
  request,
  STRANGE_MAC,
  UNKNOWN_SOURCE,
} from '../support/drop-bed.js';
import { type Counters, deliveredBy, statusOf } from '../support/state.js';

/** Counters that the tests of this file have raised. */
const raised = new Set<string>();

/**
 * Counters that no test can raise from outside. tx_drop_runt: the kernel delivers no frame shorter than an Ethernet header.
 * rx_drop_truncated: no datagram is longer than the buffer. rx_drop_unsegmentable: the kernel delivers only TCP and UDP
 * superpackets. rx_drop_device_full: only a machine that receives faster than it can forward fills the device. Unit tests
 * cover them.
 */
const OUT_OF_REACH = ['tx_drop_runt', 'rx_drop_truncated', 'rx_drop_device_full', 'rx_drop_unsegmentable'];
/** Raised by tiny-segments.test.ts and flood.test.ts. */
const OF_OTHERS = ['tx_drop_unsegmentable', 'tx_drop_backlog_full', 'rx_drop_filtered'];
/** Raised by udp-wire.test.ts. */
const OF_UDP = /_not_ipv4$|_bad_length$|_no_route$|_ttl$|_wrong_source$/;

async function raisedBy(bed: Bed, act: () => Promise<void>): Promise<Counters> {
  const counters = await counted(bed, act);
  for (const name of Object.keys(counters)) raised.add(name);
  return counters;
}

for (const level of ['gso', 'bpf'] as const)
  t.test(`level ${level}: decapsulate drops datagrams under one counter each:`, async (t) => {
    const bed = await makeDropBed(t, `rxdrops-${level}`, { flags: ['--offload', level] });
    const { lab, peer } = bed;
    await mark(bed);

    const cases: DropCase[] = [
      {
        what: 'a datagram too short for VXLAN and Ethernet headers, rx_drop_runt',
        datagrams: [0, 7, 8, 21].map((length) => request().subarray(0, length)),
        counter: 'rx_drop_runt',
      },
      {
        what: 'a datagram without the I flag, rx_drop_no_vni_flag',
        datagrams: [request({ header: { flags: 0 } }), request({ header: { flags: 0xf7 } })],
        counter: 'rx_drop_no_vni_flag',
      },
      {
        what: 'another VNI, rx_drop_unknown_vni',
        datagrams: [0, 2, 0x010000, 0x000100, 0xffffff].map((vni) => request({ header: { vni } })),
        counter: 'rx_drop_unknown_vni',
      },
      {
        what: 'an outer source without a lease, rx_drop_unknown_vtep',
        datagrams: [request(), request({ sourceMac: STRANGE_MAC })],
        counter: 'rx_drop_unknown_vtep',
        sent: { from: UNKNOWN_SOURCE },
      },
      {
        what: 'the MAC of another peer or of no lease from a known VTEP, rx_drop_wrong_source_mac',
        datagrams: [request({ sourceMac: LEASED_MAC }), request({ sourceMac: STRANGE_MAC })],
        counter: 'rx_drop_wrong_source_mac',
      },
      {
        what: 'a frame for another MAC, rx_drop_not_our_mac',
        datagrams: [request({ destinationMac: PEER_MAC }), request({ destinationMac: STRANGE_MAC })],
        counter: 'rx_drop_not_our_mac',
      },
      {
        what: 'an outer CE mark on a packet without ECN, rx_drop_ecn',
        datagrams: [request(), request({ tos: 0xb8 })],
        counter: 'rx_drop_ecn',
        sent: { tos: 3 },
      },
    ];
    await assertDrops(t, bed, cases, 'flannel.1', (act) => raisedBy(bed, act));

    await t.test('decapsulate accepts reserved bits and counts rx_reserved_bits', async (t) => {
      const headers = [
        { flags: 0x7f },
        { reserved: [0x80, 0, 0, 0] as const },
        { reserved: [0, 0, 1, 0] as const },
        { reserved: [0, 0, 0, 0xff] as const },
      ];
      const replies = peer.echoes().length;
      const changes = await raisedBy(bed, async () => {
        for (const header of headers) await peer.send(request({ header }));
      });
      t.strictSame(changes, { tx_packets: 4, rx_packets: 4, rx_reserved_bits: 4 });
      t.equal(peer.echoes().length - replies, 5, 'every frame is answered');
    });

    await t.test('decapsulate accepts any group policy and counts rx_group_policy', async (t) => {
      const replies = peer.echoes().length;
      const changes = await raisedBy(bed, async () => {
        for (const group of [0, 0x1234]) {
          const [high, low] = [group >> 8, group & 0xff];
          await peer.send(request({ header: { flags: 0x88, reserved: [0, high, low, 0] } }));
        }
      });
      t.strictSame(changes, { tx_packets: 2, rx_packets: 2, rx_group_policy: 2 });
      t.equal(peer.echoes().length - replies, 3, 'every frame is answered');
    });

    await t.test('decapsulate accepts a known VTEP from any port', async (t) => {
      const changes = await raisedBy(bed, () =>
        peer.send(request(), { from: { address: lab.node(2).address, port: 50_000 } }),
      );
      t.strictSame(changes, { tx_packets: 1, rx_packets: 1 });
    });

    await t.test('a wrong outer checksum is counted as rx_drop_checksum, not as an overflow', async (t) => {
      const program = `${DIST}test/netns/peer/bad-checksum.js`;
      const changes = await raisedBy(bed, async () => {
        await exec([process.execPath, program, lab.node(1).address, '8472', '5'], {
          netns: lab.node(2).netns,
        });
      });
      t.strictSame(changes, { rx_drop_checksum: 5 });
    });

    await t.test('datagrams that overflow the socket are counted as rx_drop_socket_overflow', async (t) => {
      const large = Buffer.concat([request({ header: { vni: 2 } }), Buffer.alloc(60_000)]);
      const changes = await raisedBy(bed, async () => {
        await bed.weft.process.freeze();
        await peer.send(large, { times: 500 });
        bed.weft.process.kill('SIGCONT');
      });
      const { rx_drop_socket_overflow: lost = 0, rx_drop_unknown_vni: taken = 0, ...others } = changes;
      t.strictSame(others, {});
      t.ok(lost > 0 && taken > 0 && lost + taken <= 500, `${lost} lost, ${taken} taken, of 500`);
    });
  });

t.test('encapsulate drops frames under one counter each', async (t) => {
  // A datagram of the fast path passes no socket, so none of its errors.
  const bed = await makeDropBed(t, 'txdrops', { flags: ['--offload', 'gso'] });
  const node = bed.lab.node(1);
  await mark(bed);
  // Weft removes these entries after a second.
  const toStranger = [
    `neigh replace 10.244.99.1 lladdr ${STRANGE_MAC} dev flannel.1 nud permanent`,
    'route replace 10.244.99.1/32 dev flannel.1',
  ];
  const unanswered = (address: string, ...flags: string[]) =>
    exec(
      [
        'sh',
        '-c',
        '"$@"; [ $? -eq 1 ]',
        'ping',
        ...`ping -nqc 3 -i 0.01 -W 0.1`.split(' '),
        ...flags,
        address,
      ],
      {
        netns: node.netns,
      },
    );

  await t.test('a destination MAC without a lease is counted as tx_drop_unknown_mac', async (t) => {
    await ipBatch(node.netns, toStranger);
    t.strictSame(await raisedBy(bed, async () => void (await unanswered('10.244.99.1'))), {
      tx_drop_unknown_mac: 3,
    });
  });

  await t.test('multicast and broadcast are not flooded, and counted as tx_drop_multicast', async (t) => {
    const changes = await raisedBy(bed, async () => {
      await unanswered('224.0.0.5', '-I', 'flannel.1');
      await unanswered('255.255.255.255', '-b', '-I', 'flannel.1');
    });
    t.strictSame(changes, { tx_drop_multicast: 6 });
    t.equal(bed.peer.received.filter(({ hex }) => hex.startsWith('01', 16)).length, 0);
  });

  await t.test('a peer without an underlay route is counted as tx_drop_unreachable', async (t) => {
    await ipBatch(node.netns, ['route add unreachable 192.168.77.3/32']);
    t.strictSame(await raisedBy(bed, async () => void (await unanswered('10.244.3.11'))), {
      tx_drop_unreachable: 3,
    });
    await ipBatch(node.netns, ['route delete unreachable 192.168.77.3/32']);
  });

  await t.test(
    'every peer is tx_drop_unreachable while the underlay is down, and reachable afterwards',
    async (t) => {
      const changes = await raisedBy(bed, async () => {
        await ipBatch(node.netns, [`link set ${node.iface} down`]);
        await unanswered('10.244.2.11');
        await ipBatch(node.netns, [`link set ${node.iface} up`]);
      });
      t.strictSame(changes, { tx_drop_unreachable: 3 });
    },
  );

  await t.test('any other send error of the kernel is counted as tx_drop_send_error', async (t) => {
    await ipBatch(node.netns, ['route add prohibit 192.168.77.3/32']);
    t.strictSame(await raisedBy(bed, async () => void (await unanswered('10.244.3.11'))), {
      tx_drop_send_error: 3,
    });
    await ipBatch(node.netns, ['route delete prohibit 192.168.77.3/32']);
  });

  await t.test('a full send buffer is counted as tx_drop_socket_full and does not block', async (t) => {
    // Datagrams to an address without an answer to ARP queue up and fill the send buffer.
    await sysctl(node.netns, { [`net/ipv4/neigh/${node.iface}/unres_qlen_bytes`]: 1 << 28 });
    const sender = [process.execPath, `${DIST}test/netns/peer/datagrams.js`, 'flood', '10.244.3.11', '9'];
    const changes = await raisedBy(bed, async () => {
      await exec([...sender, '30000', '1200', '40'], { netns: bed.lab.pod(1).netns });
      await ipBatch(node.netns, [`neigh replace 192.168.77.3 lladdr ${STRANGE_MAC} dev ${node.iface}`]);
    });
    const { tx_drop_socket_full: dropped = 0, tx_packets = 0, tx_drop_device_overflow, ...others } = changes;
    t.strictSame(others, {});
    t.ok(dropped > 0 && tx_packets > 0, `${dropped} dropped, ${tx_packets} sent`);
  });

  await t.test('frames that overflow the device are counted as tx_drop_device_overflow', async (t) => {
    const changes = await raisedBy(bed, async () => {
      await bed.weft.process.freeze();
      await ipBatch(node.netns, toStranger);
      await unanswered('10.244.99.1', '-c', '3000', '-l', '3000');
      bed.weft.process.kill('SIGCONT');
    });
    const { tx_drop_device_overflow: lost = 0, tx_drop_unknown_mac: taken = 0, ...others } = changes;
    t.strictSame(others, {});
    t.ok(lost > 0 && taken > 0, `${lost} lost, ${taken} taken`);
    t.equal(lost + taken, 3000);
  });

  await t.test('a device that is down refuses frames, counted as rx_drop_device_refused', async (t) => {
    const delivered = await deliveredBy(node);
    // They wait in the socket, and the worker reads them before control notices that the device is down.
    await bed.weft.process.freeze();
    await bed.peer.send(request(), { times: 3 });
    await ipBatch(node.netns, ['link set flannel.1 down']);
    bed.weft.process.kill('SIGCONT');
    await until(
      'rx_drop_device_refused of 3',
      async () => (await statusOf(bed.weft)).counters.rx_drop_device_refused === 3,
    );
    raised.add('rx_drop_device_refused');
    t.equal(await deliveredBy(node), delivered);
  });

  await t.test('tx_drop_device_overflow continues after the device is rebuilt', async (t) => {
    const before = await statusOf(bed.weft);
    await ipBatch(node.netns, ['link delete flannel.1']);
    await until('another device', async () => {
      const { repairs } = await statusOf(bed.weft);
      return (repairs.device ?? 0) > (before.repairs.device ?? 0);
    });
    const after = await statusOf(bed.weft);
    const [earlier = 0, later = 0] = [before, after].map(({ counters }) => counters.tx_drop_device_overflow);
    t.ok(earlier > 0 && later >= earlier, `${earlier} before, ${later} after`);
  });

  await t.test('the tests above raise every drop counter that can be raised', async (t) => {
    const { counters } = await statusOf(bed.weft);
    const drops = Object.keys(counters).filter((name) => name.includes('_drop_'));
    t.strictSame(
      drops.filter((name) => !raised.has(name) && !OF_UDP.test(name) && !OF_OTHERS.includes(name)),
      OUT_OF_REACH,
    );
  });
});
