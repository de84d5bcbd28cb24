/** An IPv6 underlay: the dataplane without control, and the kernel's vxlan as its peer. */

import t from 'tap';
import { ipBatch } from '../../../lab/ip.js';
import { ping } from '../../../lab/traffic/ping.js';
import { internetChecksum } from '../peer/frames.js';
import { echoRequest, HandmadePeer } from '../peer/handmade.js';
import { USERSPACE_LEVELS, withKernelVxlan, withNftables } from '../support/bed.js';
import { captured } from '../support/capture.js';
import { sendsGsoRuns } from '../support/gso-runs.js';
import { damageIn, refusalsIn } from '../support/harm.js';
import { withIpv6 } from '../support/ipv6.js';
import { answered } from '../support/pings.js';
import { type Counters, risen } from '../support/state.js';
import { datagrams, segmentedDatagrams, stream } from '../support/transfer.js';
import {
  makeUnderlay6Bed,
  RunningDataplane,
  startKernel6,
  UNKNOWN_SOURCE,
  underlayAddress,
} from '../support/underlay6-bed.js';

const MEGABYTE = 1 << 20;
const kernel = await withKernelVxlan();
/** A router that marks every packet. */
const CONGESTION = `table ip6 congestion {
  chain out {
    type filter hook output priority mangle
    udp dport 8472 ip6 ecn set ce
  }
}
`;
const nftables = await withNftables();

for (const mode of ['virt', 'plain'] as const) {
  t.test(`an IPv6 underlay with a kernel peer on a ${mode} link`, kernel, async (t) => {
    const lab = await makeUnderlay6Bed(t, { name: `six-${mode}`, mode });
    await startKernel6(lab.node(2));
    for (const level of USERSPACE_LEVELS) {
      await t.test(`and Weft at offload level ${level}`, async (t) => {
        const dataplane = await RunningDataplane.start(t, lab, lab.node(1), level);
        const [ours, theirs] = await withIpv6(lab);
        const mtu = lab.node(1).podMtu;
        for (const [way, from, to] of [
          ['to the kernel', ours, theirs],
          ['from the kernel', theirs, ours],
        ] as const) {
          await t.test(way, async (t) => {
            for (const size of [0, mtu - 48, 8000])
              await answered(t, from, to.address, `${size} bytes of payload`, { size });
            const largest = { size: mtu - 28, dontFragment: true };
            await answered(
              t,
              from,
              lab.pod(from === ours ? 2 : 1).address,
              'IPv4 inside, as large as the MTU',
              largest,
            );
            const { sent, received } = await stream(from, to, 8 * MEGABYTE);
            t.equal(received, sent, 'TCP arrives unharmed');
            t.equal(await datagrams(from, to, 250, 1300), 'whole 250 damaged 0');
            t.equal(await segmentedDatagrams(from, to, 400, 1200), 'whole 400 damaged 0');
          });
        }
        const counters = await dataplane.counters();
        t.strictSame(refusalsIn(counters), {}, 'Weft drops nothing');
        t.strictSame(await damageIn(lab), {}, 'no network stack counts a broken packet');
        const runs = level === 'gso' && (await sendsGsoRuns(lab.node(1), underlayAddress(lab.node(2))));
        t.equal(Number(counters.tx_trains) > 0, runs, `${counters.tx_trains} GSO runs`);
        if (runs) t.equal(counters.tx_trains_replayed, 0, 'none of them replayed');
        await dataplane.stop();
      });
    }
  });
}

t.test("datagrams larger than the route's MTU go in fragments over IPv6", kernel, async (t) => {
  const lab = await makeUnderlay6Bed(t, { name: 'six-narrow', mode: 'plain' });
  await startKernel6(lab.node(2));
  const dataplane = await RunningDataplane.start(t, lab, lab.node(1), 'gso');
  const [ours, theirs] = await withIpv6(lab);
  await ipBatch(lab.node(1).netns, [
    `route replace ${underlayAddress(lab.node(2))}/128 dev ${lab.node(1).iface} mtu 1300`,
  ]);
  const { sent, received } = await stream(ours, theirs, 4 * MEGABYTE);
  t.equal(received, sent, 'TCP arrives unharmed');
  t.equal(await segmentedDatagrams(ours, theirs, 400, 1300), 'whole 400 damaged 0');
  const counters = await dataplane.counters();
  t.ok(Number(counters.tx_trains_replayed) > 0, `${counters.tx_trains_replayed} GSO runs replayed`);
  const runs = await sendsGsoRuns(lab.node(1), underlayAddress(lab.node(2)));
  t.equal(counters.offload_step_downs, runs ? 0 : 1);
  t.strictSame(refusalsIn(counters), {});
  t.strictSame(await damageIn(lab), {});
});

for (const level of USERSPACE_LEVELS) {
  t.test(`an IPv6 underlay with a hand-made peer and Weft at offload level ${level}`, async (t) => {
    const lab = await makeUnderlay6Bed(t, { name: `six-hand-${level}`, mode: 'plain' });
    const target = { address: underlayAddress(lab.node(1)) };
    const peer = await HandmadePeer.start(lab.node(2), target, {
      address: underlayAddress(lab.node(2)),
      answers: ['10.244.2.11'],
    });
    const dataplane = await RunningDataplane.start(t, lab, lab.node(1), level);
    let sequence = 0;
    const request = (fields: Partial<Parameters<typeof echoRequest>[0]> = {}) =>
      echoRequest({
        sourceMac: lab.node(2).vtepMac,
        destinationMac: lab.node(1).vtepMac,
        from: '10.244.2.11',
        to: '10.244.1.0',
        sequence: ++sequence,
        ...fields,
      });
    /** Sends a good request: its reply shows that everything sent before has been handled. */
    const mark = async (fields: { tos?: number } = {}) => {
      await peer.send(request(fields));
      const wanted = sequence;
      return await peer.waitForEcho('a reply', (echo) => echo.type === 0 && echo.sequence === wanted);
    };
    /** Returns the counters that rose, without bytes and without the good request at the end. */
    const raisedBy = async (
      datagram: Buffer,
      from?: { address: string; port: number },
    ): Promise<Counters> => {
      const before = await dataplane.counters();
      await peer.send(datagram, from === undefined ? {} : { from });
      await mark();
      const { tx_bytes, rx_bytes, ...raised } = risen(before, await dataplane.counters());
      return risen({ tx_packets: 1, rx_packets: 1 }, { tx_packets: 0, rx_packets: 0, ...raised });
    };
    await mark();

    await t.test('every dropped datagram is counted under exactly one counter', async (t) => {
      const unknownSource = { address: UNKNOWN_SOURCE, port: 8472 };
      t.strictSame(
        await raisedBy(request(), unknownSource),
        { rx_drop_unknown_vtep: 1 },
        'an unknown source',
      );
      t.strictSame(
        await raisedBy(request({ header: { vni: 2 } })),
        { rx_drop_unknown_vni: 1 },
        'another VNI',
      );
      const strange = request({ sourceMac: '0a:00:00:00:00:99' });
      t.strictSame(await raisedBy(strange), { rx_drop_wrong_source_mac: 1 }, 'a MAC without a lease');
      const group = request({ header: { flags: 0x88, reserved: [0, 0x12, 0x34, 0] } });
      // Both replies may leave in one GSO run.
      const { tx_trains, ...raised } = await raisedBy(group);
      const counted = { tx_packets: 1, rx_packets: 1, rx_group_policy: 1 };
      t.strictSame(raised, counted, 'a group policy passes');
    });

    await t.test("the outer headers have hop limit, the packet's ECN field and a checksum", async (t) => {
      const [packet = Buffer.alloc(0)] = await captured(
        lab.node(2),
        `udp dst port 8472 and src host ${target.address}`,
        1,
        () => ping(lab.pod(1).netns, '10.244.2.11', { count: 1, tos: 0xba }),
      );
      const udp = packet.subarray(40);
      t.equal(packet.readUInt16BE(0) >> 4, 0x602, 'version 6, ECT(0), no DSCP');
      t.strictSame([packet[6], packet[7]], [17, 64], 'UDP, hop limit 64');
      t.equal(udp.readUInt16BE(2), 8472);
      t.not(udp.readUInt16BE(6), 0, 'with a UDP checksum');
      const pseudoHeader = Buffer.concat([packet.subarray(8, 40), Buffer.from([0, 17]), udp.subarray(4, 6)]);
      t.equal(internetChecksum(Buffer.concat([pseudoHeader, udp])), 0, 'which is correct');
    });

    await t.test('decapsulate copies an outer CE mark into the packet', nftables, async (t) => {
      t.equal((await mark({ tos: 2 })).tos, 2);
      await lab.node(2).exec(['nft', '-f', '-'], { input: CONGESTION });
      t.equal((await mark({ tos: 2 })).tos, 3);
    });
  });
}
