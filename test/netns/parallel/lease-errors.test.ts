/** A faulty edit of the lease file is refused with file, line and reason, and nothing changes. */

import { rm, writeFile } from 'node:fs/promises';
import t from 'tap';
import { writeAtomically, writeLeases } from '../../../lab/leases.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWefts } from '../support/bed.js';
import { startFlood } from '../support/pings.js';
import { settled, stateFor, statusOf } from '../support/state.js';

t.test('a running Weft refuses faulty lease files while traffic flows', async (t) => {
  const lab = await makeBed(t, { name: 'badedits' });
  const [weft] = await startWefts(t, lab.nodes);
  const path = weft.leaseFile;
  const [own, peer] = lab.leases();
  const third = { Subnet: '10.244.3.0/24', PublicIP: '192.168.77.3' };
  const file = (...leases: readonly unknown[]) =>
    `{ "leases": [\n${leases.map((lease) => JSON.stringify(lease)).join(',\n')}\n] }\n`;
  const replacedBy = (text: string) => () => writeAtomically(path, text);
  const flood = startFlood(t, lab.pod(1), lab.pod(2).address);

  const cases: readonly { what: string; edit: () => Promise<void>; line: RegExp }[] = [
    {
      what: 'truncated JSON',
      edit: replacedBy('{ "leases": [\n{ "Subnet":\n'),
      line: /leases\.json:3:\d+ \(--lease-file\): not JSON: \S+/,
    },
    { what: 'an empty file', edit: () => writeFile(path, ''), line: /leases\.json:1 .*not JSON.*empty/ },
    {
      what: 'two leases with one subnet',
      edit: replacedBy(file(own, peer, { ...third, Subnet: '10.244.2.0/24' })),
      line: /leases\.json:4 .*leases\[2\]\.Subnet.*10\.244\.2\.0\/24.*leases\[1\]/,
    },
    {
      what: 'two leases with one public IP',
      edit: replacedBy(file(own, peer, { ...third, PublicIP: '192.168.77.2' })),
      line: /leases\.json:4 .*leases\[2\]\.PublicIP.*192\.168\.77\.2.*leases\[1\]/,
    },
    {
      what: 'a subnet that is no CIDR',
      edit: replacedBy(file(own, { ...peer, Subnet: '10.244.2.0/33' })),
      line: /leases\.json:3 .*leases\[1\]\.Subnet.*"10\.244\.2\.0\/33"/,
    },
    {
      what: 'no lease for this node',
      edit: replacedBy(file(peer)),
      line: /leases\.json: no lease for this node.*192\.168\.77\.1/,
    },
    {
      what: 'a subnet of this node that is not in the Network',
      edit: replacedBy(file({ ...own, Subnet: '10.99.1.0/24' }, peer)),
      line: /leases\.json: .*10\.244\.0\.0\/16.*10\.99\.1\.0\/24/,
    },
    { what: 'a deleted file', edit: () => rm(path), line: /leases\.json: no such file/ },
  ];

  for (const { what, edit, line } of cases) {
    await t.test(
      `${what} is refused in one line, changes nothing, and the next good edit is applied`,
      async (t) => {
        const before = weft.process.stderr.length;
        const loggedSince = () =>
          weft.process.stderr
            .slice(before)
            .split('\n')
            .filter((line) => line !== '');
        await edit();
        await until('the refusal', () => loggedSince().some((line) => line.includes('rejected')), {
          timeoutMs: 2000,
        });
        const { leaseSource } = await statusOf(weft);
        t.match(leaseSource.refused, line, 'status reports the reason');
        const state = await settled(lab.node(1), weft, lab.node(1).peers());
        t.strictSame(state, stateFor(lab.node(1).peers()), 'the state does not change');
        await writeLeases(path, lab.leases());
        await until('the good edit', async () => (await statusOf(weft)).leaseSource.refused === null);
        t.equal(loggedSince().length, 1, `one line in the log: ${loggedSince().join(' | ')}`);
        t.match(loggedSince()[0], line, 'the log reports the reason');
      },
    );
  }

  await t.test('no packet is lost during the edits', async (t) => {
    const { answered, missing } = await flood.end();
    t.ok(answered > 100, `${answered} pings answered`);
    t.strictSame(missing, []);
  });
});
