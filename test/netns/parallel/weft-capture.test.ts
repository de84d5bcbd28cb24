/** `weft capture`: what tshark and tcpdump read in it, how it ends, and what it leaves of itself. */

import t from 'tap';
import { exec } from '../../../lab/exec.js';
import { ipBatch } from '../../../lab/ip.js';
import { udpConf } from '../../../lab/leases.js';
import { until } from '../../../lab/until.js';
import { WEFT_CLI } from '../../../lab/world.js';
import { makeBed, startWeft, startWefts } from '../support/bed.js';
import { runCommand } from '../support/cli.js';
import { LEASED_MAC, makeDropBed, mark, PEER_MAC, request, UNKNOWN_SOURCE } from '../support/drop-bed.js';
import { dualConf, dualLease, makeDualBed, pod6, underlay6 } from '../support/dual-bed.js';
import { fastPackets, fastPathIs } from '../support/fast-path.js';
import { answered } from '../support/pings.js';
import { risen, statusOf } from '../support/state.js';
import { decoded, remarks, startCapture } from '../support/weft-capture.js';

/** Directions in epb_flags, as tshark prints them. */
const IN = '0x00000001';
const OUT = '0x00000002';
/** One request: the next one would follow after a second without a reply. */
const ONCE = { count: 1, interval: 1 };

t.test('a capture beside the fast path', async (t) => {
  const lab = await makeBed(t, { name: 'capture' });
  const [weft] = await startWefts(t, lab.nodes);
  await fastPathIs(weft, true);
  const [pod, peer] = [lab.pod(1), lab.pod(2)];
  const ping = () => answered(t, pod, peer.address, 'answered', { count: 3 });
  const file = `${weft.node.dir}/pings.pcapng`;
  const command = `${process.execPath} ${WEFT_CLI} capture --run-dir ${weft.runDir}`;
  /** Waits until nothing is captured, and asserts that the fast path carries packets again. */
  const isOver = async () => {
    await until('no capture runs', async () => (await statusOf(weft)).capture === null);
    const before = await fastPackets(weft);
    await ping();
    const after = await fastPackets(weft);
    t.ok(after.tx - before.tx >= 3 && after.rx - before.rx >= 3, 'the fast path carries the packets again');
  };

  await t.test('has a ping in both views and directions, and says that the fast path is off', async (t) => {
    const capture = await startCapture(t, weft, '-w', file);
    t.match(capture.stderr, /the fast path of flannel\.1 is off for all peers while the capture runs/);
    t.match((await statusOf(weft)).capture, { peers: null, missed: 0 });
    const second = await runCommand(weft.node, ['capture', '--run-dir', weft.runDir]);
    t.match(second, { code: 1, stderr: /another weft capture runs, and one runs at a time/ });
    await answered(t, pod, peer.address, 'answered', ONCE);
    await capture.stop('SIGINT');
    t.match(capture.stderr, /4 packets captured, 0 packets missed/);
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
    t.strictSame(packets, [
      inner(OUT, pod.address, '8'),
      outer(OUT, `${node},${pod.address}`, '8'),
      outer(IN, `${other},${peer.address}`, '0'),
      inner(IN, peer.address, '0'),
    ]);
    t.strictSame(await remarks(file), []);
    await isOver();
  });

  await t.test('ends by itself after --count, with one view, one peer and cut packets', async (t) => {
    const flags = ['-w', file, '--outer', '--peer', peer.address, '-c', '4', '--snaplen', '60'];
    const capture = await startCapture(t, weft, ...flags);
    t.match(capture.stderr, new RegExp(`is off for ${lab.node(2).address} while`));
    await ping();
    await capture.exited;
    const packets = await decoded(file, ['frame.interface_name', 'frame.cap_len', 'frame.len']);
    t.strictSame(
      packets,
      Array(4).fill({ 'frame.interface_name': 'outer', 'frame.cap_len': '60', 'frame.len': '148' }),
    );
    await isOver();
  });

  for (const [name, flags, expected] of [
    ['tshark -l -i - -T fields -e frame.interface_name -e icmp.type', '', /inner\t8\nouter\t\n/],
    ['tcpdump -n -r -', '', /ICMP echo request[^]*192\.168\.77\.1\.\d+ > 192\.168\.77\.2\.8472/],
    ['cat', '--text', /inner {2}out .* > .*: ICMP echo request, seq 1, 98 bytes\n.* outer {2}out /],
  ] as const) {
    t.test(`goes into a pipe: weft capture ${flags} | ${name.split(' ')[0]}`, async (t) => {
      const pipe = weft.node.start(['sh', '-c', `${command} ${flags} -c 4 | ${name}`]);
      await pipe.waitFor(/end it with Ctrl-C/);
      await ping();
      await pipe.exited;
      t.match(pipe.stdout, expected);
    });
  }

  await t.test('ends with the reader of its pipe, also without packets', async (t) => {
    const pipe = weft.node.start(['sh', '-c', `${command} | head -c 100 | wc -c`]);
    await pipe.exited;
    t.equal(pipe.stdout.trim(), '100');
    t.match(pipe.stderr, /0 packets captured, 0 packets missed/);
  });

  await t.test('ends when a write fails, and says why', async (t) => {
    const capture = await startCapture(t, weft, '-w', '/dev/full');
    t.match(await capture.exited, { code: 1 });
    t.match(capture.stderr, /-w "\/dev\/full": ENOSPC: .*; the capture is incomplete/);
  });

  await t.test('a second signal ends it at once, also beside a Weft that hangs', async (t) => {
    const capture = await startCapture(t, weft, '-w', file);
    await weft.process.freeze();
    capture.kill('SIGINT');
    // The first signal may still be pending.
    await until('the end of the capture', () => {
      capture.kill('SIGTERM');
      return capture.ended;
    });
    t.match(await capture.exited, { code: null });
    weft.process.kill('SIGCONT');
    await isOver();
  });

  await t.test('ends at once when its client is killed', async (t) => {
    const capture = await startCapture(t, weft, '-w', file);
    capture.kill('SIGKILL');
    await isOver();
  });

  await t.test('is refused for an unknown peer and a wrong number', async (t) => {
    const refused = (...flags: string[]) =>
      runCommand(weft.node, ['capture', '--run-dir', weft.runDir, ...flags]);
    // One after the other: a second one beside them would be refused for that.
    t.match(await refused('--peer', '10.9.9.9'), {
      code: 1,
      stderr: /--peer "10\.9\.9\.9": no peer has this address/,
    });
    t.match(await refused('--peer', 'nowhere.invalid'), { code: 1, stderr: /no peer has this name/ });
    t.match(await refused('--count', '0'), { code: 2, stderr: /--count "0": not a whole number/ });
  });

  await t.test(
    'ends with its Weft, and the fast path is whole after a stop, a kill and a takeover',
    async (t) => {
      const [node] = lab.nodes;
      const stopped = await startCapture(t, weft, '-w', file);
      await answered(t, pod, peer.address, 'answered', ONCE);
      await weft.end('SIGTERM');
      t.match(await stopped.exited, { code: 1 });
      t.match(stopped.stderr, /4 packets captured[^]*the capture ended early: Weft stops/);
      await answered(t, pod, peer.address, 'answered without Weft', { count: 3 });

      const second = await startWeft(t, node);
      await fastPathIs(second, true);
      const killed = await startCapture(t, weft, '-w', file);
      await answered(t, pod, peer.address, 'answered', ONCE);
      await until('the client has all', async () => (await statusOf(weft)).capture?.packets === 4);
      await second.end('SIGKILL');
      t.match(await killed.exited, { code: 1 });
      t.match(killed.stderr, /the running Weft ended before the capture/);
      t.equal((await decoded(file, ['frame.number'], '-Y', 'icmp')).length, 4);

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

t.test(
  '--drops has exactly the packets that the counters count, each with its counter as comment',
  async (t) => {
    const bed = await makeDropBed(t, 'capturedrops', { flags: ['--offload', 'gso'] });
    const { peer, weft } = bed;
    const file = `${weft.node.dir}/drops.pcapng`;
    const capture = await startCapture(t, weft, '-w', file, '--drops');
    await mark(bed);
    const before = (await statusOf(weft)).counters;
    await peer.send(request().subarray(0, 10));
    await peer.send(request({ header: { flags: 0 } }));
    for (const vni of [2, 3]) await peer.send(request({ header: { vni } }));
    await peer.send(request(), { from: UNKNOWN_SOURCE });
    await peer.send(request({ sourceMac: LEASED_MAC }));
    await peer.send(request({ destinationMac: PEER_MAC }));
    await peer.send(request(), { tos: 3 });
    await ipBatch(weft.node.netns, [
      'neigh add 10.244.9.0 lladdr 02:00:00:00:00:09 dev flannel.1 nud permanent',
      'route add 10.244.9.0/24 via 10.244.9.0 dev flannel.1 onlink',
    ]);
    await weft.node.exec(['ping', '-c', '1', '-W', '0.1', '10.244.9.1']).catch(() => {});
    await weft.node.exec(['ping', '-c', '1', '-W', '0.1', '-I', 'flannel.1', '224.0.0.1']).catch(() => {});
    await mark(bed);
    const after = (await statusOf(weft)).counters;
    await capture.stop('SIGINT');
    const packets = await decoded(file, ['frame.interface_name', 'frame.comment']);
    const found: Record<string, number> = {};
    for (const { 'frame.comment': comment } of packets) {
      const name = comment.replace('dropped: ', '');
      found[name] = (found[name] ?? 0) + 1;
    }
    const counted = Object.entries(risen(before, after)).filter(([name]) => name.includes('_drop_'));
    t.strictSame(found, Object.fromEntries(counted));
    t.equal(counted.length, 9);
    t.ok(
      packets.every(
        (packet) =>
          packet['frame.interface_name'] === (packet['frame.comment'].includes('rx_') ? 'outer' : 'inner'),
      ),
    );
  },
);

t.test('with the udp backend both views are IP packets, with the TTL of their side', async (t) => {
  const lab = await makeBed(t, { name: 'captureudp', mode: 'plain' });
  const [weft] = await startWefts(t, lab.nodes, { netConf: udpConf() });
  const file = `${weft.node.dir}/udp.pcapng`;
  const capture = await startCapture(t, weft, '-w', file, '-c', '4');
  await answered(t, lab.pod(1), lab.pod(2).address, 'answered', ONCE);
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
  const { stdout } = await exec(['tcpdump', '-n', '-r', file]);
  t.equal(stdout.trim().split('\n').length, 4, 'tcpdump reads both views');
});

t.test(
  'a dual-stack node has two views of each family; --peer selects a family by its address',
  async (t) => {
    const lab = await makeDualBed(t, { name: 'capturedual' });
    const leases = lab.nodes.map(dualLease);
    const [weft] = await startWefts(t, lab.nodes, { leases, netConf: dualConf() });
    const file = `${weft.node.dir}/dual.pcapng`;
    const [pod, peer] = [lab.pod(1), lab.pod(2)];
    const [from, to] = [pod6(pod).address, pod6(peer).address];
    const [node, other] = [underlay6(lab.node(1)), underlay6(lab.node(2))];
    const pings = async () => {
      await answered(t, pod, peer.address, 'IPv4', ONCE);
      await answered(t, pod, to, 'IPv6', ONCE);
    };
    const seen = async (...flags: string[]) => {
      const capture = await startCapture(t, weft, '-w', file, ...flags);
      await pings();
      await capture.stop('SIGINT');
      t.strictSame(await remarks(file), []);
      const fields = ['frame.interface_name', 'ipv6.src', 'icmp.type', 'icmpv6.type'] as const;
      const packets = await decoded(file, fields, '-Y', 'icmp or icmpv6.type in {128,129}');
      return packets.map((packet) => Object.values(packet).filter(Boolean).join(' '));
    };
    const ipv4 = ['inner 8', 'outer 8', 'outer 0', 'inner 0'];
    const ipv6 = [
      `inner6 ${from} 128`,
      `outer6 ${node},${from} 128`,
      `outer6 ${other},${to} 129`,
      `inner6 ${to} 129`,
    ];
    t.strictSame(await seen(), [...ipv4, ...ipv6]);
    t.strictSame(await seen('--peer', to), ipv6);
    t.strictSame(await seen('--peer', lab.node(2).address), ipv4);
  },
);
