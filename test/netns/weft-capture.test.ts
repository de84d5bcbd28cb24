/** `weft capture`: what tshark reads in it, and what it leaves of itself. */

import { readFile } from 'node:fs/promises';
import t from 'tap';
import { udpConf } from '../../lab/leases.js';
import { iperf } from '../../lab/traffic/iperf.js';
import { until } from '../../lab/until.js';
import { WEFT_CLI } from '../../lab/world.js';
import { makeBed, startWeft, startWefts } from './support/bed.js';
import { runCommand } from './support/cli.js';
import { makeDropBed, mark, request, STRANGE_MAC } from './support/drop-bed.js';
import { fastPackets, fastPathIs } from './support/fast-path.js';
import { answered } from './support/pings.js';
import { statusOf } from './support/state.js';
import { stream } from './support/transfer.js';
import { decoded, startCapture } from './support/weft-capture.js';

const MEGABYTE = 1 << 20;
/** Directions in epb_flags, as tshark prints them. */
const IN = '0x00000001';
const OUT = '0x00000002';

t.test('a capture beside the fast path', async (t) => {
  const lab = await makeBed(t, { name: 'capture' });
  const [weft] = await startWefts(t, lab.nodes);
  await fastPathIs(weft, true);
  const [pod, peer] = [lab.pod(1), lab.pod(2)];
  const ping = () => answered(t, pod, peer.address, 'answered', { count: 3 });
  const file = `${weft.node.dir}/pings.pcapng`;
  /** Waits until nothing is captured, and asserts that the fast path carries packets again. */
  const isOver = async () => {
    await until('no capture runs', async () => (await statusOf(weft)).capture === null);
    const before = await fastPackets(weft);
    await ping();
    const after = await fastPackets(weft);
    t.ok(after.tx - before.tx >= 3 && after.rx - before.rx >= 3, 'the fast path carries the packets again');
  };

  await t.test(
    'has every ping in both views and directions, and says that the fast path is off',
    async (t) => {
      const capture = await startCapture(t, weft, '-w', file);
      t.match(capture.stderr, /the fast path of flannel\.1 is off for all peers while the capture runs/);
      t.match((await statusOf(weft)).capture, { peers: null, missed: 0 });
      await ping();
      await capture.stop('SIGINT');
      t.match(capture.stderr, /12 packets captured, 0 packets missed/);
      const packets = await decoded(
        file,
        [
          'frame.interface_name',
          'frame.packet_flags_direction',
          'ip.src',
          'vxlan.vni',
          'udp.dstport',
          'icmp.type',
        ],
        '-Y',
        'icmp',
      );
      const [node, other] = [lab.node(1).address, lab.node(2).address];
      const inner = (direction: string, source: string, type: string) => ({
        'frame.interface_name': 'inner',
        'frame.packet_flags_direction': direction,
        'ip.src': source,
        'vxlan.vni': '',
        'udp.dstport': '',
        'icmp.type': type,
      });
      const outer = (direction: string, hosts: string, type: string) => ({
        ...inner(direction, hosts, type),
        'frame.interface_name': 'outer',
        'vxlan.vni': '1',
        'udp.dstport': '8472',
      });
      t.strictSame(packets.slice(0, 4), [
        inner(OUT, pod.address, '8'),
        outer(OUT, `${node},${pod.address}`, '8'),
        outer(IN, `${other},${peer.address}`, '0'),
        inner(IN, peer.address, '0'),
      ]);
      t.equal(packets.length, 12);
      const odd = await decoded(
        file,
        ['frame.number'],
        '-Y',
        '_ws.expert || ip.checksum.status == 0',
        '-o',
        'ip.check_checksum:TRUE',
      );
      t.strictSame(odd, [], 'tshark has no remark');
      await isOver();
    },
  );

  await t.test('ends by itself after --count, with one view, one peer and cut packets', async (t) => {
    const capture = await startCapture(
      t,
      weft,
      '-w',
      file,
      '--outer',
      '--peer',
      peer.address,
      '-c',
      '4',
      '--snaplen',
      '60',
    );
    t.match(capture.stderr, new RegExp(`is off for ${lab.node(2).address} while`));
    await ping();
    await capture.exited;
    const packets = await decoded(file, ['frame.interface_name', 'frame.cap_len', 'frame.len']);
    t.strictSame(
      packets,
      Array(4).fill({ 'frame.interface_name': 'outer', 'frame.cap_len': '60', 'frame.len': '134' }),
    );
    await isOver();
  });

  await t.test('ends at once when its client is killed', async (t) => {
    const capture = await startCapture(t, weft, '-w', file);
    await ping();
    capture.kill('SIGKILL');
    await isOver();
  });

  await t.test('goes into a pipe as pcapng, or as lines', async (t) => {
    const weftCapture = `${process.execPath} ${WEFT_CLI} capture --run-dir ${weft.runDir} --inner -c 2`;
    for (const [command, expected] of [
      [`${weftCapture} | tshark -r - -T fields -e icmp.type`, /^8\n0$/m],
      [`${weftCapture} | tcpdump -n -r -`, /ICMP echo request.*\n.*ICMP echo reply/],
      [`${weftCapture} --text`, /inner {2}out .* > .*: ICMP echo request, seq 1, 98 bytes\n.*inner {2}in /],
    ] as const) {
      const pipe = weft.node.start(['sh', '-c', command]);
      await pipe.waitFor(/end it with Ctrl-C/);
      await ping();
      await pipe.exited;
      t.match(pipe.stdout, expected);
    }
  });

  await t.test('is refused beside another one, and for an unknown peer', async (t) => {
    const capture = await startCapture(t, weft, '-w', file);
    const command = (...flags: string[]) =>
      runCommand(weft.node, ['capture', '--run-dir', weft.runDir, ...flags]);
    t.match(await command(), { code: 1, stderr: /another weft capture runs, and one runs at a time/ });
    await capture.stop('SIGTERM');
    t.match(await command('--peer', '10.9.9.9'), {
      code: 1,
      stderr: /--peer "10\.9\.9\.9": no peer has this address/,
    });
    t.match(await command('--peer', 'nowhere.invalid'), { code: 1, stderr: /no peer has this name/ });
    t.match(await command('--count', '0'), { code: 2, stderr: /--count "0": not a whole number/ });
    await isOver();
  });

  await t.test('a slow reader misses packets, which the end counts', async (t) => {
    const capture = await startCapture(t, weft, '-w', file);
    capture.kill('SIGSTOP');
    await stream(pod, peer, 64 * MEGABYTE);
    t.ok(((await statusOf(weft)).capture?.missed ?? 0) > 0, 'weft status counts them');
    capture.kill('SIGCONT');
    await capture.stop('SIGINT');
    const [, missed = ''] = /captured, (\d+) packets missed/.exec(capture.stderr) ?? [];
    t.ok(Number(missed) > 0, `${missed} missed`);
    t.equal(await droppedByStatistics(file), Number(missed), 'the statistics blocks have the same number');
  });

  await t.test(
    'ends with its Weft, and the fast path is whole after a stop, a kill and a takeover',
    async (t) => {
      const [node] = lab.nodes;
      const stopped = await startCapture(t, weft, '-w', file);
      await ping();
      await weft.end('SIGTERM');
      t.match(await stopped.exited, { code: 1 });
      t.match(stopped.stderr, /12 packets captured[^]*the capture ended early: Weft stops/);
      await answered(t, pod, peer.address, 'answered without Weft', { count: 3 });

      const second = await startWeft(t, node);
      await fastPathIs(second, true);
      const killed = await startCapture(t, weft, '-w', file);
      await ping();
      await until('the client has all', async () => (await statusOf(weft)).capture?.packets === 12);
      await second.end('SIGKILL');
      t.match(await killed.exited, { code: 1 });
      t.match(killed.stderr, /the running Weft ended before the capture/);
      t.equal((await decoded(file, ['frame.number'], '-Y', 'icmp')).length, 12);

      await fastPathIs(await startWeft(t, node), true);
      const replaced = await startCapture(t, weft, '-w', file);
      await startWeft(t, node, { flags: ['--takeover'] });
      t.match(await replaced.exited, { code: 1 });
      t.match(replaced.stderr, /the capture ended early: another Weft process takes over/);
      await fastPathIs(weft, true);
      await isOver();
    },
  );
});

/** Bytes of a statistics block with two options. */
const STATISTICS_BLOCK = 52;

/** Returns the sum of isb_ifdrop over the statistics blocks at the end of a file. */
async function droppedByStatistics(path: string): Promise<number> {
  const blocks = (await readFile(path)).subarray(-2 * STATISTICS_BLOCK);
  return [0, STATISTICS_BLOCK].reduce((sum, at) => {
    if (blocks.readUInt32LE(at) !== 5) throw new Error('no statistics block');
    // Behind type, length, interface, time and isb_ifrecv; each option has a header of 4 bytes.
    return sum + Number(blocks.readBigUInt64LE(at + 8 + 12 + 12 + 4));
  }, 0);
}

t.test('tshark decodes a capture while iperf3 runs', async (t) => {
  const lab = await makeBed(t, { name: 'capturebulk' });
  const [weft] = await startWefts(t, lab.nodes, { flags: ['--offload', 'gso'] });
  const file = `${weft.node.dir}/bulk.pcapng`;
  const capture = await startCapture(t, weft, '-w', file, '--snaplen', '128', '-c', '30000');
  await iperf(lab.pod(1), lab.pod(2), { seconds: 2 });
  await capture.exited;
  const packets = await decoded(
    file,
    ['frame.interface_name', 'frame.len', 'vxlan.vni', 'tcp.dstport'],
    '-Y',
    'tcp',
  );
  const bytes = (view: string) =>
    packets
      .filter((packet) => packet['frame.interface_name'] === view)
      .reduce((sum, packet) => sum + Number(packet['frame.len']), 0);
  t.ok(bytes('inner') > 0 && bytes('outer') > 0);
  t.ok(
    packets.every((packet) => (packet['vxlan.vni'] === '1') === (packet['frame.interface_name'] === 'outer')),
  );
  const largest = Math.max(
    ...packets.filter((packet) => packet['vxlan.vni'] === '1').map((packet) => Number(packet['frame.len'])),
  );
  t.ok(largest <= 1500, `a GSO run is recorded as its datagrams: ${largest} bytes`);
  t.strictSame(await decoded(file, ['frame.number'], '-Y', '_ws.malformed'), []);
});

t.test('--drops has dropped packets only, each with its counter as comment', async (t) => {
  const bed = await makeDropBed(t, 'capturedrops', { flags: ['--offload', 'gso'] });
  const { peer, weft } = bed;
  const file = `${weft.node.dir}/drops.pcapng`;
  const capture = await startCapture(t, weft, '-w', file, '--drops');
  await mark(bed);
  await peer.send(request({ header: { vni: 2 } }));
  await peer.send(request({ sourceMac: STRANGE_MAC }));
  await peer.send(request().subarray(0, 10));
  await mark(bed);
  await capture.stop('SIGINT');
  const packets = await decoded(
    file,
    ['frame.interface_name', 'frame.comment', 'vxlan.vni'],
    '-Y',
    'frame.comment contains "rx_"',
  );
  t.strictSame(
    packets.map((packet) => [packet['frame.interface_name'], packet['frame.comment']]),
    ['rx_drop_unknown_vni', 'rx_drop_wrong_source_mac', 'rx_drop_runt'].map((name) => [
      'outer',
      `dropped: ${name}`,
    ]),
  );
});

t.test('with the udp backend both views are IP packets, with the TTL of their side', async (t) => {
  const lab = await makeBed(t, { name: 'captureudp', mode: 'plain' });
  const [weft] = await startWefts(t, lab.nodes, { netConf: udpConf() });
  const file = `${weft.node.dir}/udp.pcapng`;
  const capture = await startCapture(t, weft, '-w', file, '-c', '4');
  await answered(t, lab.pod(1), lab.pod(2).address, 'answered');
  await capture.exited;
  const packets = await decoded(
    file,
    ['frame.interface_name', 'ip.ttl', 'icmp.type'],
    ...['-d', 'udp.port==8285,ip', '-Y', 'icmp'],
  );
  t.strictSame(
    packets.map((packet) => Object.values(packet).join(' ')),
    ['inner 63 8', 'outer 64,62 8', 'outer 64,62 0', 'inner 61 0'],
  );
});
