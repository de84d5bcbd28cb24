import { readFileSync } from 'node:fs';
import t from 'tap';
import { discardPages, releaseFilePages } from '../../../src/sys/pages.js';

/** Returns the file-backed memory of this process, in KiB. */
function filePages(): number {
  return Number(/^RssFile:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

t.test('releaseFilePages drops most file-backed memory, and the process keeps running', async (t) => {
  const before = filePages();
  releaseFilePages();
  const after = filePages();
  t.ok(after < before / 2, `${before} KiB before, ${after} after`);
  // Code that has not run yet, then code that has.
  t.equal(JSON.stringify(new Intl.NumberFormat('de').format(1234.5)), '"1.234,5"');
  releaseFilePages();
});

t.test('discarded pages are zero, and the bytes around them stay', async (t) => {
  const all = new Uint8Array(new SharedArrayBuffer(1 << 20)).fill(1);
  discardPages(all.subarray(100_000, 900_000));
  t.equal(all[500_000], 0);
  t.ok(all.subarray(0, 100_000).every((byte) => byte === 1));
  t.ok(all.subarray(900_000).every((byte) => byte === 1));
  const small = new Uint8Array(1000).fill(1);
  discardPages(small);
  t.ok(
    small.every((byte) => byte === 1),
    'less than a page stays',
  );
});
