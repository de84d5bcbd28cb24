import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { FINDING_IDS } from '../../src/control/doctor/finding-ids.js';

/** dist/test/unit/docs-doctor.test.js → repository */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const NETNS = `${ROOT}test/netns/parallel/`;

t.test('docs/doctor.md lists the findings of the code', async (t) => {
  const page = readFileSync(`${ROOT}docs/doctor.md`, 'utf8');
  const [, section = ''] = page.split('## Findings\n');
  const [table = ''] = section.split('\n## ');
  const rows = [...table.matchAll(/^\| (`[^|]+`) \|/gm)].map(([, cell = '']) => cell);
  const listed = rows.flatMap((cell) => [...cell.matchAll(/`([a-z-]+)`/g)].map(([, id = '']) => id));
  t.strictSame([...listed].sort(), [...FINDING_IDS].sort());
});

t.test('each finding is provoked in a network namespace', async (t) => {
  const tests = readdirSync(NETNS)
    .filter((name) => name.startsWith('doctor'))
    .map((name) => readFileSync(NETNS + name, 'utf8'))
    .join('\n');
  t.strictSame(
    FINDING_IDS.filter((id) => !tests.includes(`'${id}'`)),
    [],
  );
});
