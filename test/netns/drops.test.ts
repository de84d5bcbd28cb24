/** Every packet that goes no further is counted under its own name, and under no other. */

import t from 'tap';
import { exec } from '../../lab/exec.js';
import { ipBatch, sysctl } from '../../lab/ip.js';
import { until } from '../../lab/until.js';
import { DIST } from '../../lab/world.js';
import type { SendOptions } from './peer/handmade.js';
import {
  type Bed,
  counted,
  LEASED_MAC,
  makeDropBed,
  mark,
  PEER_MAC,
  request,
  STRANGE_MAC,
  STRANGER,
} from './support/drop-bed.js';
import { type Counters, deliveredBy, statusOf } from './support/state.js';

/** Counters that a test of this file has raised. */
const raised = new Set<string>();

/**
 * Counters that nobody can raise from outside. tx_drop_runt and tx_drop_unsegmentable: the kernel hands out no frame
 * shorter than an Ethernet header, and only TCP and UDP superpackets. rx_drop_truncated: no datagram is longer than the
 * buffer. rx_drop_device_full: only a machine that receives faster than it can forward fills the device. Unit tests
 * cover them.
 */
const OUT_OF_REACH = ['tx_drop_runt', 'tx_drop_unsegmentable', 'rx_drop_truncated', 'rx_drop_device_full'];
/** Raised by udp-wire.test.ts. */
const OF_UDP = /_not_ipv4$|_bad_length$|_no_route$|_ttl$|_wrong_source$/;

async function raisedBy(bed: Bed, act: () => Promise<void>): Promise<Counters> {
  const counters = await counted(bed, act);
  for (const name of Object.keys(counters)) raised.add(name);
  return counters;
}

t.test('datagrams that may not pass', async (t) => {
  const bed = await makeDropBed(t, 'rxdrops');
  const { lab, peer } = bed;
  await mark(bed);

  const cases: readonly {
    what: string;
    datagrams: readonly Buffer[];
    counter: string;
    sent?: SendOptions;
  }[] = [
    {
      what: 'datagrams too short for VXLAN and Ethernet header are runts',
      datagrams: [0, 7, 8, 21].map((length) => request().subarray(0, length)),
      counter: 'rx_drop_runt',
    },
    {
      what: 'datagrams without I flag have no VNI',
      datagrams: [request({ header: { flags: 0 } }), request({ header: { flags: 0xf7 } })],
      counter: 'rx_drop_no_vni_flag',
    },
    {
      what: 'another VNI is unknown',
      datagrams: [0, 2, 0x010000, 0x000100, 0xffffff].map((vni) => request({ header: { vni } })),
      counter: 'rx_drop_unknown_vni',
    },
    {
      what: 'a sender whose address no lease has is an unknown VTEP',
      datagrams: [request(), request({ sourceMac: STRANGE_MAC })],
      counter: 'rx_drop_unknown_vtep',
      sent: { from: STRANGER },
    },
    {
      what: "a known VTEP with another's MAC, or nobody's, has the wrong source MAC",
      datagrams: [request({ sourceMac: LEASED_MAC }), request({ sourceMac: STRANGE_MAC })],
      counter: 'rx_drop_wrong_source_mac',
    },
    {
      what: 'a frame for another MAC is not ours',
      datagrams: [request({ destinationMac: PEER_MAC }), request({ destinationMac: STRANGE_MAC })],
      counter: 'rx_drop_not_our_mac',
    },
    {
      what: 'congestion met by a packet whose sender knows no ECN is a loss',
      datagrams: [request(), request({ tos: 0xb8 })],
      counter: 'rx_drop_ecn',
      sent: { tos: 3 },
    },
  ];
  for (const { what, datagrams, counter, sent } of cases) {
    await t.test(what, async (t) => {
      const delivered = await deliveredBy(lab.node(1));
      const replies = peer.echoes().length;
      const changes = await raisedBy(bed, async () => {
        for (const datagram of datagrams) await peer.send(datagram, sent);
      });
      t.strictSame(changes, { [counter]: datagrams.length });
      t.equal((await deliveredBy(lab.node(1))) - delivered, 1, 'nothing but the good frame was delivered');
      t.equal(peer.echoes().length - replies, 1, 'and nothing else answered');
    });
  }

  await t.test('reserved bits are ignored, and counted', async (t) => {
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
    t.equal(peer.echoes().length - replies, 5, 'every frame was answered');
  });

  await t.test('a group policy is accepted whatever the group, and counted', async (t) => {
    const replies = peer.echoes().length;
    const changes = await raisedBy(bed, async () => {
      for (const group of [0, 0x1234]) {
        const [high, low] = [group >> 8, group & 0xff];
        await peer.send(request({ header: { flags: 0x88, reserved: [0, high, low, 0] } }));
      }
    });
    t.strictSame(changes, { tx_packets: 2, rx_packets: 2, rx_group_policy: 2 });
    t.equal(peer.echoes().length - replies, 3, 'every frame was answered');
  });

  await t.test('a known VTEP may send from any port', async (t) => {
    const changes = await raisedBy(bed, () =>
      peer.send(request(), { from: { address: lab.node(2).address, port: 50_000 } }),
    );
    t.strictSame(changes, { tx_packets: 1, rx_packets: 1 });
  });

  await t.test('datagrams that the socket has no room for are counted by the kernel', async (t) => {
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

t.test('frames that go nowhere', async (t) => {
  const bed = await makeDropBed(t, 'txdrops');
  const node = bed.lab.node(1);
  await mark(bed);
  // Nobody asked for these: they stay for a second.
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

  await t.test('a destination MAC that no lease has is unknown', async (t) => {
    await ipBatch(node.netns, toStranger);
    t.strictSame(await raisedBy(bed, async () => void (await unanswered('10.244.99.1'))), {
      tx_drop_unknown_mac: 3,
    });
  });

  await t.test('multicast and broadcast have no entry and are not flooded', async (t) => {
    const changes = await raisedBy(bed, async () => {
      await unanswered('224.0.0.5', '-I', 'flannel.1');
      await unanswered('255.255.255.255', '-b', '-I', 'flannel.1');
    });
    t.strictSame(changes, { tx_drop_multicast: 6 });
    t.equal(bed.peer.received.filter(({ hex }) => hex.startsWith('01', 16)).length, 0);
  });

  await t.test('a peer that the underlay has no route to is unreachable', async (t) => {
    await ipBatch(node.netns, ['route add unreachable 192.168.77.3/32']);
    t.strictSame(await raisedBy(bed, async () => void (await unanswered('10.244.3.11'))), {
      tx_drop_unreachable: 3,
    });
    await ipBatch(node.netns, ['route delete unreachable 192.168.77.3/32']);
  });

  await t.test(
    'every peer is unreachable while the underlay is down, and is there again after it',
    async (t) => {
      const changes = await raisedBy(bed, async () => {
        await ipBatch(node.netns, [`link set ${node.iface} down`]);
        await unanswered('10.244.2.11');
        await ipBatch(node.netns, [`link set ${node.iface} up`]);
      });
      t.strictSame(changes, { tx_drop_unreachable: 3 });
    },
  );

  await t.test('any other refusal of the kernel is a send error', async (t) => {
    await ipBatch(node.netns, ['route add prohibit 192.168.77.3/32']);
    t.strictSame(await raisedBy(bed, async () => void (await unanswered('10.244.3.11'))), {
      tx_drop_send_error: 3,
    });
    await ipBatch(node.netns, ['route delete prohibit 192.168.77.3/32']);
  });

  await t.test('what the socket has no room for is dropped, not waited for', async (t) => {
    // Datagrams for an address that nobody answers for wait for ARP, all of them, and fill the send buffer.
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

  await t.test('what the device has no room for is counted by the kernel', async (t) => {
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

  await t.test('a device that is down refuses what is for it', async (t) => {
    const delivered = await deliveredBy(node);
    // They wait in the socket, and the worker takes them before anyone sees that the device is down.
    await bed.weft.process.freeze();
    await bed.peer.send(request(), { times: 3 });
    await ipBatch(node.netns, ['link set flannel.1 down']);
    bed.weft.process.kill('SIGCONT');
    await until(
      'three refusals',
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

  await t.test('these were all the drop counters there are', async (t) => {
    const { counters } = await statusOf(bed.weft);
    const drops = Object.keys(counters).filter((name) => name.includes('_drop_'));
    t.strictSame(
      drops.filter((name) => !raised.has(name) && !OF_UDP.test(name)),
      OUT_OF_REACH,
    );
  });
});
