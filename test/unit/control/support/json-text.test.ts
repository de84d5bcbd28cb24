import t from 'tap';
import {
  JsonLimitError,
  MAX_CONTAINERS,
  MAX_DEPTH,
  parseJson,
  parseObject,
} from '../../../../src/control/support/json-text.js';

t.test('parseJson parses a text up to its limits', async (t) => {
  t.same(parseJson('{"a":[1,{"b":"[\\"{"}]}'), { a: [1, { b: '["{' }] });
  t.doesNotThrow(() => parseJson('['.repeat(MAX_DEPTH) + ']'.repeat(MAX_DEPTH)));
  t.doesNotThrow(() => parseJson(`[${'{},'.repeat(MAX_CONTAINERS - 2)}{}]`));
});

t.test('parseJson refuses deeper and larger texts before it parses them', async (t) => {
  const deep = MAX_DEPTH + 1;
  t.throws(
    () => parseJson('['.repeat(deep) + ']'.repeat(deep)),
    new JsonLimitError('it is nested deeper than 64 levels'),
  );
  t.throws(() => parseJson('{"a":'.repeat(1_000_000)), /nested deeper/);
  t.throws(() => parseJson(`[${'{},'.repeat(MAX_CONTAINERS - 1)}{}]`), /more than 500000 objects/);
});

t.test('parseJson leaves other faults to JSON.parse', async (t) => {
  for (const text of ['', '{', ']', '"', '"\\', '{"a":"\\"}']) t.throws(() => parseJson(text), SyntaxError);
});

t.test('parseObject names the fault of a text that is no object', async (t) => {
  t.same(parseObject('{}'), {});
  for (const text of ['[]', 'null', '"{}"', '7'])
    t.throws(() => parseObject(text), /^it is not a JSON object$/);
  t.throws(() => parseObject('\u001b[2J'), new Error('it is not JSON'));
});
