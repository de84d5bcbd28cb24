import t from 'tap';
import { lineOf, syntaxErrorIn } from '../../../../src/control/support/json-position.js';

t.test('syntaxErrorIn returns line, column and reason', async (t) => {
  for (const [text, line, column] of [
    ['{', 1, 2],
    ['{ "a": 1,\n  "b" 2 }', 2, 7],
    ['{\n  "a": 1,\n}', 3, 1],
    ['{ "a": x }', 1, 8],
    ['{} {}', 1, 4],
    ['{ // no\n}', 1, 3],
  ] as const) {
    const error = syntaxErrorIn(text);
    t.same([error.line, error.column], [line, column], JSON.stringify(text));
    t.match(error.reason, /^[a-z ]+$/, JSON.stringify(text));
  }
});

for (const [name, space] of [
  ['spaces', ' '.repeat(1000)],
  ['line breaks', '\n'.repeat(1000)],
] as const) {
  t.test(`positions behind a thousand ${name} are those of the whole text`, async (t) => {
    const text = `{${space}"a":${space}1,${space}"b" 2${space}}`;
    const at = text.indexOf('2');
    const before = text.slice(0, at).split('\n');
    const { line, column } = syntaxErrorIn(text);
    t.same([line, column], [before.length, (before.at(-1)?.length ?? 0) + 1]);
    const valid = text.replace('"b" 2', '"b": 2');
    t.equal(lineOf(valid, 'a'), valid.slice(0, valid.indexOf('1')).split('\n').length);
    t.equal(lineOf(valid, 'b'), valid.slice(0, valid.indexOf('2')).split('\n').length);
  });
}

const TEXT = `{
  "Network": "10.244.0.0/16",
  "Backend": {
    "Type": "vxlan",
    "VNI": 1
  },
  "leases": [
    { "Subnet": "a" },
    {
      "Subnet": "b"
    }
  ]
}`;

t.test('lineOf returns the line of the value at a path', async (t) => {
  for (const [path, line] of [
    ['Network', 2],
    ['Backend', 3],
    ['Backend.VNI', 5],
    ['leases', 7],
    ['leases[0].Subnet', 8],
    ['leases[1]', 9],
    ['leases[1].Subnet', 10],
  ] as const) {
    t.equal(lineOf(TEXT, path), line, path);
  }
});

t.test('lineOf returns the line of the nearest parent for a missing value', async (t) => {
  t.equal(lineOf(TEXT, 'Backend.Port'), 3);
  t.equal(lineOf(TEXT, 'leases[1].PublicIP'), 9);
  t.equal(lineOf(TEXT, 'SubnetLen'), 1);
});

t.test('lineOf uses the last of duplicate keys', async (t) => {
  t.equal(lineOf('{\n "a": 1,\n "a": 2\n}', 'a'), 3);
});
