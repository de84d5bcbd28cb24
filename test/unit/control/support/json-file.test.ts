import { join } from 'node:path';
import t, { type Test } from 'tap';
import { JsonFile } from '../../../../src/control/support/json-file.js';
import { mentions, refusal } from '../../../support/user-error.js';

async function read(t: Test, text: string): Promise<JsonFile> {
  return JsonFile.read('--file', join(t.testdir({ 'f.json': text }), 'f.json'));
}

t.test('JsonObject matches keys regardless of case', async (t) => {
  const { root } = await read(t, '{ "nEtWoRk": "x" }');
  t.equal(root.string('Network'), 'x');
  t.equal(root.pathOf('Network'), 'nEtWoRk', 'pathOf spells keys as the file does');
});

t.test('JsonObject uses the last of duplicate keys, as Go does', async (t) => {
  t.equal((await read(t, '{ "a": 1, "a": 2 }')).root.integer('a', 0, 9), 2);
  t.equal((await read(t, '{ "A": 1, "a": 2 }')).root.integer('a', 0, 9), 2);
  t.equal((await read(t, '{ "a": 1, "A": 2 }')).root.integer('a', 0, 9), 2);
});

t.test('JsonObject treats null as missing', async (t) => {
  const { root } = await read(t, '{ "a": null }');
  t.equal(root.get('a'), undefined);
  t.equal(root.get('b'), undefined);
  t.equal(root.string('a'), undefined);
  t.equal(root.object('a'), undefined);
  t.equal(root.objects('a'), undefined);
});

t.test('JsonObject returns values of the requested type', async (t) => {
  const { root } = await read(t, '{ "s": "", "b": false, "n": 0, "o": { "k": 1 }, "l": [{ "k": 2 }, {}] }');
  t.equal(root.string('s'), '');
  t.equal(root.boolean('b'), false);
  t.equal(root.integer('n', 0, 1), 0);
  t.equal(root.object('o')?.integer('K', 0, 9), 1);
  t.same(
    root.objects('l')?.map((object) => [object.path, object.get('k')]),
    [
      ['l[0]', 2],
      ['l[1]', undefined],
    ],
  );
});

t.test('JsonObject treats names of Object.prototype as ordinary keys', async (t) => {
  const { root } = await read(t, '{ "__proto__": "x", "constructor": "y" }');
  t.equal(root.string('__proto__'), 'x');
  t.equal(root.string('constructor'), 'y');
  t.equal(root.string('toString'), undefined);
});

t.test('JsonObject refuses a value of another type and names file, line, path and value', async (t) => {
  const file = await read(t, '{\n "s": 1,\n "b": "true",\n "n": "7",\n "o": [],\n "l": {},\n "m": [1]\n}');
  const { root } = file;
  for (const [action, line, what] of [
    [() => root.string('s'), 2, 's is 1: must be a string'],
    [() => root.boolean('b'), 3, 'b is "true": must be true or false'],
    [() => root.integer('n', 0, 9), 4, 'n is "7": must be a whole number from 0 to 9'],
    [() => root.object('o'), 5, 'o is []: must be an object { ... }'],
    [() => root.object('s'), 2, 's is 1: must be an object { ... }'],
    [() => root.objects('l'), 6, 'l is {}: must be an array [ ... ]'],
    [() => root.objects('m'), 7, 'm[0] is 1: must be an object { ... }'],
  ] as const) {
    t.equal(await refusal(t, action), `${file.path}:${line} (--file): ${what}`);
  }
});

t.test('JsonObject.integer refuses numbers outside the range and fractions', async (t) => {
  const { root } = await read(t, '{ "low": 0, "high": 11, "half": 1.5, "huge": 1e300 }');
  for (const key of ['low', 'high', 'half', 'huge']) {
    mentions(t, await refusal(t, () => root.integer(key, 1, 10)), key, 'from 1 to 10');
  }
});

t.test('JsonObject.error reports a missing value', async (t) => {
  const file = await read(t, '{\n}');
  t.equal(file.root.error('a', 'write it').message, `${file.path}:1 (--file): a is missing: write it`);
});

t.test('JsonFile.read reports an unreadable file with flag, path and remedy', async (t) => {
  const dir = t.testdir({});
  const missing = join(dir, 'none.json');
  t.equal(
    await refusal(t, () => JsonFile.read('--file', missing)),
    `--file ${missing}: no such file; create it or name another file`,
  );
  t.equal(
    await refusal(t, () => JsonFile.read('--file', dir)),
    `--file ${dir}: this is a directory; name a file`,
  );
  mentions(t, await refusal(t, () => JsonFile.read('--file', join(missing, 'x', 'y'))), '--file', missing);
});

t.test('JsonFile.read reports line and column of a syntax error', async (t) => {
  const dir = t.testdir({ 'f.json': '{\n  "a": 1\n  "b": 2\n}', 'empty.json': ' \n' });
  const file = join(dir, 'f.json');
  mentions(t, await refusal(t, () => JsonFile.read('--file', file)), `${file}:3:3 (--file): not JSON: `);
  const empty = join(dir, 'empty.json');
  t.equal(
    await refusal(t, () => JsonFile.read('--file', empty)),
    `${empty}:1 (--file): not JSON: the file is empty`,
  );
});

t.test('JsonFile.read refuses a root that is not an object', async (t) => {
  for (const text of ['[]', 'null', '"text"', '7', 'true']) {
    const dir = t.testdir({ 'f.json': text });
    mentions(
      t,
      await refusal(t, () => JsonFile.read('--file', join(dir, 'f.json'))),
      '{ ... }',
      text,
      '--file',
    );
  }
});
