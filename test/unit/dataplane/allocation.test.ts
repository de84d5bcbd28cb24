// Nothing is allocated per packet. Each part of the dataplane runs in a process of its own, with a young generation
// large enough for everything. So the growth of the heap is everything that was allocated, garbage included.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Allocation } from '../../support/allocation.js';

const CHILD = fileURLToPath(new URL('../../support/allocation-child.js', import.meta.url));
const FLAGS = ['--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64'];
const MILLION = 1_000_000;

function measure(part: string, packets: number): Allocation {
  const output = execFileSync(process.execPath, [...FLAGS, CHILD, part, String(packets)], {
    encoding: 'utf8',
    // The child would inherit tap's flags, and tap's hooks allocate.
    env: { PATH: process.env.PATH },
  });
  return JSON.parse(output) as Allocation;
}

t.test('the measurement sees one small object a packet', async (t) => {
  const { bytes } = measure('leaky', 100_000);
  t.ok(bytes >= 100_000 * 16, `${bytes} bytes`);
});

for (const part of ['tunnel', 'udp tunnel']) {
  t.test(
    `a million packets through encapsulate and decapsulate of the ${part}, past a thousand peers`,
    async (t) => {
      const { bytes, collections } = measure(part, MILLION);
      t.equal(collections, 0, 'no garbage collection');
      t.ok(bytes < MILLION / 4, `${bytes} bytes in all`);
    },
  );
}

// A capture reads the clock once per round and direction, which may box a number (16 B for 64 packets).
for (const [part, most] of [
  ['loop', MILLION / 4],
  ['captured loop', (3 * MILLION) / 4],
] as const) {
  t.test(`a million packets through the forwarding ${part}`, async (t) => {
    const { bytes, collections } = measure(part, MILLION);
    t.equal(collections, 0, 'no garbage collection');
    t.ok(bytes < most, `${bytes} bytes in all`);
  });
}

for (const part of [
  'ports',
  'gso ports',
  'ports over IPv6',
  'gso ports over IPv6',
  'udp ports',
  'udp gso ports',
  'captured gso ports',
]) {
  t.test(
    `two hundred thousand packets through the real ${part}, by the system calls of a burst`,
    async (t) => {
      const packets = 200_000;
      const { bytes, collections } = measure(part, packets);
      t.equal(collections, 0, 'no garbage collection');
      // A system call may box an address or two (16 B each): a burst's few may, a packet's may not.
      t.ok(bytes / packets < 2, `${bytes} bytes in all, ${(bytes / packets).toFixed(1)} a packet`);
    },
  );
}
