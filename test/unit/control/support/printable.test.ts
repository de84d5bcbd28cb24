import t from 'tap';
import {
  printable,
  printableLines,
  printableValues,
  shellWord,
} from '../../../../src/control/support/printable.js';
import { oneLine } from '../../../../src/sys/one-line.js';

t.test('printable escapes what controls a terminal or the direction of text, and nothing else', async (t) => {
  for (const [text, escaped] of [
    ['plain größer 日本 🙂 "quoted" \\ back', 'plain größer 日本 🙂 "quoted" \\ back'],
    ['\u001b[31mred\u001b[0m', '\\u001b[31mred\\u001b[0m'],
    ['a\nb\rc\td\0e\u007f', 'a\\nb\\rc\\td\\u0000e\\u007f'],
    ['\u009b2J', '\\u009b2J'],
    ['\u202egnp.exe\u2066\u200f', '\\u202egnp.exe\\u2066\\u200f'],
    ['a\u2028b\u2029c', 'a\\u2028b\\u2029c'],
    ['\ufeffzero\u200bwidth', '\\ufeffzero\\u200bwidth'],
    ['\ud800', '\\ud800'],
    ['\u{e0041}', '\\udb40\\udc41'],
  ] as const) {
    t.equal(printable(text), escaped);
  }
});

t.test('printableLines keeps the line ends', async (t) => {
  t.equal(printableLines('a\n\u001bb\n'), 'a\n\\u001bb\n');
});

t.test('printableValues escapes all strings and keys of a value', async (t) => {
  t.same(printableValues({ 'k\n': ['\u001b', 1, null, { a: true }] }), {
    'k\\n': ['\\u001b', 1, null, { a: true }],
  });
});

t.test('oneLine joins lines with a space', async (t) => {
  t.equal(oneLine('a  \r\n\n  b\rc\n'), 'a b c');
  t.equal(oneLine('  a  '), '  a  ');
});

t.test('shellWord quotes what a shell would interpret', async (t) => {
  t.equal(shellWord('flannel.1'), 'flannel.1');
  t.equal(shellWord('a;reboot'), "'a;reboot'");
  t.equal(shellWord("it's"), "'it'\\''s'");
  t.equal(shellWord(''), "''");
});
