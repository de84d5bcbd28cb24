/** A crowd of clients, and a lack of descriptors: Weft answers, forwards and stops as usual. */

import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { exec } from '../../../lab/exec.js';
import { writeLeases } from '../../../lab/leases.js';
import { ping } from '../../../lab/traffic/ping.js';
import { until } from '../../../lab/until.js';
import { socketPath } from '../../../src/control/ipc/protocol.js';
import { makeBed, startWeft, startWefts } from '../support/bed.js';
import { settled, stateFor, statusOf } from '../support/state.js';

/** Most connections that Weft keeps for clients without a request (ipc/server.ts). */
const MAX_WITHOUT_REQUEST = 64;

/** Connects a client of the control socket that sends this text and reads nothing. */
async function client(t: Test, path: string, text: string): Promise<void> {
  const socket = await until(
    'a connection',
    () =>
      new Promise<Socket | undefined>((resolve) => {
        const socket = connect(path, () => resolve(socket));
        socket.on('error', () => resolve(undefined));
      }),
  );
  socket.pause().write(text);
  t.teardown(() => socket.destroy());
}

t.test('Weft answers, forwards and stops beside a thousand clients that only wait', async (t) => {
  const lab = await makeBed(t, { name: 'crowd' });
  const [weft] = await startWefts(t, lab.nodes);
  const descriptors = () => readdirSync(`/proc/${weft.process.pid}/fd`).length;
  const before = descriptors();
  const pinging = ping(lab.pod(1).netns, lab.pod(2).address, { count: 200, interval: 0.02 });
  for (let index = 0; index < 1000; index++)
    await client(t, socketPath(weft.runDir), index % 2 === 0 ? '' : '{"command"');
  t.match(await weft.status(), { device: { up: true } }, 'weft status');
  t.ok(descriptors() <= before + MAX_WITHOUT_REQUEST + 16, `${descriptors()} descriptors, before: ${before}`);
  const { sent, received } = await pinging;
  t.equal(received, sent, 'no ping is lost');
  for (let index = 0; index < 100; index++) await client(t, socketPath(weft.runDir), '{"command"');
  t.strictSame(await weft.end(), { code: 0, signal: null }, 'SIGTERM ends it in time');
});

t.test(
  'Weft without a free descriptor keeps forwarding, and follows its leases once it has some',
  async (t) => {
    const lab = await makeBed(t, { name: 'nofiles', nodes: 3 });
    const node = lab.node(1);
    const [own, second, third] = lab.leases();
    const weft = await startWeft(t, node, { leases: [own, second] });
    await startWeft(t, lab.node(2));
    const limit = (value: string) => exec(['prlimit', '--pid', `${weft.process.pid}`, `--nofile=${value}:`]);
    await limit('3');
    await writeLeases(weft.leaseFile, [own, second, third]);
    await weft.process.waitFor(/leases rejected, .*(EMFILE|too many open files)/);
    const { sent, received } = await ping(lab.pod(1).netns, lab.pod(2).address, { count: 20 });
    t.equal(received, sent, 'no ping is lost');
    await limit('10000');
    t.strictSame(await settled(node, weft, [second, third]), stateFor([second, third]));
    t.match(await statusOf(weft), { leaseSource: { refused: null } });
  },
);
