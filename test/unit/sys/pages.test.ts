import { readFileSync } from 'node:fs';
import t from 'tap';
import { releaseFilePages } from '../../../src/sys/pages.js';

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
