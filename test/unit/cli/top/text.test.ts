import t from 'tap';
import { clock } from '../../../../src/cli/text.js';
import { ASCII, cut, cutMiddle, glyphsOf, sparkline, UNICODE } from '../../../../src/cli/top/glyphs.js';
import { quantity, span } from '../../../../src/cli/top/quantity.js';
import { difference, keysIn } from '../../../../src/cli/top/terminal.js';
import { intervalOf } from '../../../../src/cli/top-options.js';

t.test('quantity has at most five characters', async (t) => {
  for (const [value, text] of [
    [undefined, '-'],
    [0, '0'],
    [0.25, '0.3'],
    [7, '7'],
    [9.96, '10'],
    [999.4, '999'],
    [999.6, '1.00k'],
    [12_345, '12.3k'],
    [99_960, '100k'],
    [999_700, '1.00M'],
    [1.234e9, '1.23G'],
    [4e12, '4.00T'],
  ] as const) {
    t.equal(quantity(value), text, String(value));
  }
});

t.test('clock and span show time spans', async (t) => {
  t.equal(clock(3661), '01:01:01');
  t.equal(clock(86400 * 3 + 59), '3 d 00:00:59');
  t.same([3, 61, 7300].map(span), ['3 s', '1 m', '2 h']);
});

t.test('sparkline is in proportion to its largest value; zero, little and gaps differ', async (t) => {
  t.equal(sparkline([0, 1, 400, 800, undefined], 5, UNICODE), '▁▂▅█ ');
  t.equal(sparkline([0, 1, 400, 800, undefined], 5, ASCII), '_.=# ');
  t.equal(sparkline([5, 1, 2], 2, UNICODE), '▅█', 'the newest values');
  t.equal(sparkline([3], 4, UNICODE), '   █');
  t.equal(sparkline([3], 0, UNICODE), '');
});

t.test('cut shortens texts to the width', async (t) => {
  t.equal(cut('abcdef', 6, UNICODE), 'abcdef');
  t.equal(cut('abcdef', 4, UNICODE), 'abc…');
  t.equal(cutMiddle('abcdefgh', 5, ASCII), 'ab~gh');
});

t.test('glyphsOf follows the locale: LC_ALL, LC_CTYPE, LANG', async (t) => {
  t.equal(glyphsOf({ LANG: 'en_GB.UTF-8' }), UNICODE);
  t.equal(glyphsOf({ LANG: 'en_GB.UTF-8', LC_ALL: 'C' }), ASCII);
  t.equal(glyphsOf({ LANG: 'C', LC_CTYPE: 'C.utf8', LC_ALL: '' }), UNICODE);
  t.equal(glyphsOf({}), ASCII);
});

t.test('keysIn finds the keys in what a terminal sends', async (t) => {
  t.same(keysIn('jk\x1b[A\x1bOB\x1b[5~xq\x03'), ['down', 'up', 'up', 'down', 'page-up', 'quit', 'quit']);
  t.same(keysIn('\x1b[200~\x1b'), []);
});

t.test('difference writes only rows that have changed', async (t) => {
  t.equal(difference(['a', 'b', 'c'], ['a', 'x', 'c']), '\x1b[2;1Hx');
  t.equal(difference([], ['a']), '\x1b[1;1Ha');
});

t.test('intervalOf accepts seconds from 0.1 to 3600', async (t) => {
  t.same([undefined, '1', '0.5', '3600'].map(intervalOf), [1000, 1000, 500, 3_600_000]);
  for (const value of ['0', '-1', '', 'x', '3601', '1e2', '0.05']) {
    t.throws(() => intervalOf(value), { message: `--interval ${value}: not a number of seconds` }, value);
  }
});
