/** No superpacket of a pod stops the other traffic of its node, whatever its segment size. */

import t from 'tap';
import { exec } from '../../lab/exec.js';
import { until } from '../../lab/until.js';
import { DIST } from '../../lab/world.js';
import { atLevel, makeBed, startWefts } from './support/bed.js';
import { answered } from './support/pings.js';
import { risen, statusOf } from './support/state.js';
import { Stopwatch } from './support/stopwatch.js';

const PORT = '9100';
/** How long the other traffic may stop. */
const PROMISED_MS = 200;
const SUPERPACKET = 65_000;

t.test('superpackets of tiny segments', async (t) => {
  const lab = await makeBed(t, { name: 'tiny', podsPerNode: 2 });
  const [weft] = await startWefts(t, lab.nodes, atLevel('gso'));
  const [hostile, victim] = lab.node(1).pods;
  const [sink, target] = lab.node(2).pods;
  if (weft === undefined || hostile === undefined || victim === undefined) throw new Error('no pods');
  if (sink === undefined || target === undefined) throw new Error('no pods');
  await answered(t, hostile, sink.address);
  const program = (name: string) => [process.execPath, `${DIST}test/netns/peer/${name}.js`];

  const attack = (...argv: readonly (string | number)[]) =>
    exec([...program('superpackets'), sink.address, ...argv.map(String)], { netns: hostile.netns });

  // The kernel refuses a UDP superpacket of more than 128 segments at the packet socket.
  for (const [protocol, segment, payload, counter] of [
    ['tcp', 1, SUPERPACKET, 'tx_drop_unsegmentable'],
    ['tcp', 8, SUPERPACKET, 'tx_drop_backlog_full'],
    ['tcp', 88, SUPERPACKET, 'tx_drop_backlog_full'],
    ['udp', 1, 128, undefined],
  ] as const) {
    const what = `100 ${protocol} superpackets of ${segment}-byte segments`;
    await t.test(`${what} delay the others by at most ${PROMISED_MS} ms`, async (t) => {
      const receiver = lab.node(2).startInPod(target, [...program('ticks'), 'receive', PORT, target.address]);
      t.teardown(() => receiver.stop('SIGKILL'));
      await receiver.waitFor(/listening/);
      const sender = lab.node(1).startInPod(victim, [...program('ticks'), 'send', PORT, target.address]);
      t.teardown(() => sender.stop('SIGKILL'));
      await receiver.waitFor(/first/);
      const before = await statusOf(weft);
      const rises = async () => risen(before.counters, (await statusOf(weft)).counters);
      const stopwatch = new Stopwatch();
      await attack(protocol, 100, segment, payload);
      await until('the superpackets', async () => {
        const { tx_packets = 0, ...others } = await rises();
        return counter === undefined ? tx_packets > 100 * payload : (others[counter] ?? 0) > 50;
      });
      await sender.stop('SIGKILL');
      await receiver.stop('SIGINT');
      const longest = Number(/longest ([\d.]+) ms/.exec(receiver.stdout)?.[1] ?? Number.NaN);
      const allowed = stopwatch.allowedMs(PROMISED_MS);
      t.ok(longest <= allowed, `nothing passed for ${longest} ms of ${allowed.toFixed(0)} allowed`);
    });
  }

  await t.test('a superpacket of small segments with options passes whole: MSS 88', async (t) => {
    const before = await statusOf(weft);
    await attack('tcp', 1, 76, 60_000, 12);
    await until('all segments', async () => {
      const { tx_packets = 0 } = risen(before.counters, (await statusOf(weft)).counters);
      return tx_packets >= Math.ceil(60_000 / 76);
    });
    const { tx_drop_backlog_full = 0, tx_drop_unsegmentable = 0 } = risen(
      before.counters,
      (await statusOf(weft)).counters,
    );
    t.strictSame([tx_drop_backlog_full, tx_drop_unsegmentable], [0, 0]);
  });
});
