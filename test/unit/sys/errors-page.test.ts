import { readFileSync } from 'node:fs';
import t from 'tap';
import { CALL_ERRORS, OTHER_ERRORS } from '../../../src/sys/call-errors.js';
import { errnoName } from '../../../src/sys/errno.js';

t.test('docs/errors.md has the table of errors, row by row', async (t) => {
  const page = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  t.same(rows, [
    ...CALL_ERRORS.map(
      ({ call, errno, outcome, source }) => `| \`${call}\` | ${errnoName(errno)} | ${outcome} | ${source} |`,
    ),
    ...Object.entries(OTHER_ERRORS).map(([call, outcome]) => `| \`${call}\` | other | ${outcome} | |`),
  ]);
});
