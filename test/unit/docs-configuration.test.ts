/** docs/configuration.md has every setting, and its tables are those of the definitions. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { variableOf } from '../../src/cli/environment.js';
import { FLANNEL_FLAGS, RUN_FLAGS, WEFT_FLAGS } from '../../src/cli/flags.js';
import { ROOT } from '../support/code-blocks.js';

const PAGE = readFileSync(join(ROOT, 'docs/configuration.md'), 'utf8');

interface Generator {
  withFlagTables(page: string, definitions: object): string;
}

/** A variable, because the scripts have no types. */
const GENERATOR = `${ROOT}scripts/docs-flags.mjs`;
const { withFlagTables } = (await import(GENERATOR)) as Generator;
const definitions = { flannel: FLANNEL_FLAGS, weft: WEFT_FLAGS, variableOf };

/** Returns every match of the pattern in the sources of a folder, without duplicates. */
function inSources(folder: string, pattern: RegExp): string[] {
  const sources = readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => join(ROOT, folder, String(name)))
    .filter((path) => path.endsWith('.ts'))
    .map((path) => readFileSync(path, 'utf8'));
  return [...new Set(sources.flatMap((text) => [...text.matchAll(pattern)].map(([, name = '']) => name)))];
}

t.test('docs/configuration.md is current', async (t) => {
  t.equal(withFlagTables(PAGE, definitions), PAGE, 'run `npm run docs`');
});

t.test('the generator writes a changed definition, and refuses a flag without a group', async (t) => {
  const help = 'another meaning of --iface and --public-ip';
  const changed = { ...FLANNEL_FLAGS, iface: { ...FLANNEL_FLAGS.iface, help } };
  const page = withFlagTables(PAGE, { ...definitions, flannel: changed });
  t.match(page, /another meaning of `--iface` and `--public-ip`/);
  t.notMatch(page, FLANNEL_FLAGS.iface.help);
  const more = { ...WEFT_FLAGS, fresh: WEFT_FLAGS.adopt };
  t.throws(() => withFlagTables(PAGE, { ...definitions, weft: more }), /fresh/);
  t.throws(() => withFlagTables('# empty', definitions), /no table of/);
});

t.test('docs/configuration.md has a row for every flag of weft run', async (t) => {
  for (const name of Object.keys(RUN_FLAGS)) t.match(PAGE, new RegExp(`^\\| \`--?${name}[ \`]`, 'm'), name);
});

t.test('docs/configuration.md has every environment variable that Weft reads', async (t) => {
  const names = inSources(
    'src',
    /(?<=process\.env\.|[{,] )([A-Z][A-Z_]+)(?=: \w+[ ,}][^\n]*process\.env|\b[^\n]*process\.env)/g,
  );
  const direct = inSources('src', /process\.env\.([A-Z_]+)/g);
  const read = [...new Set([...names, ...direct])].filter((name) => !name.startsWith('WEFT_TEST_'));
  t.ok(read.includes('NODE_NAME') && read.includes('NOTIFY_SOCKET'), 'the check finds variables');
  t.same(
    read.filter((name) => !PAGE.includes(`\`${name}\``)),
    [],
  );
});

t.test('docs/configuration.md has every key of net-conf.json that Weft reads', async (t) => {
  const keys = [
    ...inSources('src/control/config', /\.(?:boolean|string|integer|object|get)\('(\w+)'/g),
    ...inSources('src/control/config', /^ {4}(?:network|length|min|max): '(\w+)'/gm),
    ...inSources('src/control/config', /VXLAN_KEYS = \['(\w+)'/g),
  ];
  t.ok(keys.length > 15, 'the check finds keys');
  t.same(
    keys.filter((key) => !PAGE.includes(`\`${key}\``)),
    [],
  );
});
