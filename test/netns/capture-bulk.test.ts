/** `weft capture` under load: what tshark decodes, and what a slow reader misses. */

import { readFile } from 'node:fs/promises';
import t from 'tap';
import { iperf } from '../../lab/traffic/iperf.js';
import { makeBed, startWefts } from './support/bed.js';
import { statusOf } from './support/state.js';
import { stream } from './support/transfer.js';
import { decoded, remarks, startCapture } from './support/weft-capture.js';

const MEGABYTE = 1 << 20;
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

t.test('a capture under load', async (t) => {
  const lab = await makeBed(t, { name: 'capturebulk' });
  const [weft] = await startWefts(t, lab.nodes, { flags: ['--offload', 'gso'] });
  const [pod, peer] = [lab.pod(1), lab.pod(2)];
  const file = `${weft.node.dir}/bulk.pcapng`;

  await t.test('tshark decodes both directions of iperf3 without a remark', async (t) => {
    const capture = await startCapture(t, weft, '-w', file, '--snaplen', '200', '-c', '20000');
    await iperf(pod, peer, { seconds: 1, bidirectional: true });
    await capture.exited;
    const packets = await decoded(
      file,
      ['frame.interface_name', 'frame.packet_flags_direction', 'frame.len', 'vxlan.vni', 'ip.src', 'tcp.len'],
      '-Y',
      'tcp.len > 1000',
    );
    const groups = new Map<string, number>();
    for (const packet of packets) {
      const direction = packet['frame.packet_flags_direction'] === '0x00000001' ? 'in' : 'out';
      const source = packet['ip.src'].split(',').at(-1);
      const vni = packet['vxlan.vni'];
      const group = `${packet['frame.interface_name']} ${direction} ${source} ${vni}`.trim();
      groups.set(group, Math.max(groups.get(group) ?? 0, Number(packet['frame.len'])));
    }
    t.strictSame([...groups.keys()].sort(), [
      `inner in ${peer.address}`,
      `inner out ${pod.address}`,
      `outer in ${peer.address} 1`,
      `outer out ${pod.address} 1`,
    ]);
    t.ok((groups.get(`inner out ${pod.address}`) ?? 0) > 1500, 'a superpacket of a pod is one packet');
    const outermost = Math.max(
      ...[...groups].filter(([name]) => name.startsWith('outer')).map(([, size]) => size),
    );
    t.ok(outermost <= 1514, `a GSO run is recorded as its datagrams: ${outermost} bytes`);
    t.strictSame(await remarks(file, '_ws.malformed'), []);
  });

  await t.test('every checksum of a bulk transfer is right', async (t) => {
    const capture = await startCapture(t, weft, '-w', file, '--outer');
    await stream(pod, peer, MEGABYTE);
    await stream(peer, pod, MEGABYTE);
    await capture.stop('SIGINT');
    t.match(capture.stderr, / 0 packets missed/);
    t.strictSame(
      await remarks(file, 'ip.checksum.status == 0 or tcp.checksum.status == 0 or _ws.malformed'),
      [],
    );
    for (const direction of ['2', '1']) {
      const filter = `frame.packet_flags_direction == ${direction} and tcp.len > 0`;
      const packets = await decoded(file, ['tcp.len'], '-Y', filter);
      const bytes = packets.reduce((sum, packet) => sum + Number(packet['tcp.len']), 0);
      t.ok(bytes >= MEGABYTE, `every byte is in it: ${bytes}`);
    }
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
    t.strictSame(await remarks(file, '_ws.malformed'), []);
  });
});
