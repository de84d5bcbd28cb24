/** Values with text that would be another command, a flag or a terminal's control sequence. */

import fc from 'fast-check';

const PIECES = [
  ...[
    '\n',
    '\r\n',
    '\t',
    ' ',
    '\0',
    '\\',
    '\\\n',
    '#',
    '"',
    "'",
    '`',
    ';',
    '|',
    '&',
    '*',
    '{',
    '}',
    '%',
    ',',
  ],
  ...[
    '\nlink delete eth0\n',
    '; link delete eth0',
    ' link delete eth0',
    '\n-F\n',
    '\nflush ruleset\n',
    '; flush ruleset',
  ],
  ...['-foo', '--', '-batch', ' -force', '$(reboot)', '`reboot`', '../../etc/shadow'],
  ...['\u001b[2J', '\u009b2J', '\u0007', '\u007f', '\u202e', '\u2028', '\ufeff', '\ud800'],
  ...[
    'ü',
    '１０',
    '日本',
    '\u0130',
    '\u212a',
    '🙂',
    'x'.repeat(65_536),
    ' '.repeat(65_536),
    '\n'.repeat(65_536),
  ],
];

const piece = fc.oneof(fc.constantFrom(...PIECES), fc.string({ unit: 'binary', maxLength: 20 }));

/** How a text becomes hostile. */
const change: fc.Arbitrary<(text: string) => string> = fc
  .tuple(piece, fc.nat(100), fc.constantFrom('instead', 'before', 'behind', 'inside'))
  .map(([nasty, percent, where]) => (text: string) => {
    if (where === 'instead') return nasty;
    const at =
      { before: 0, behind: text.length, inside: Math.floor((text.length * percent) / 100) }[where] ?? 0;
    return text.slice(0, at) + nasty + text.slice(at);
  });

/** A hostile name of a device, as the kernel accepts it: at most 15 bytes, without white space, slash and colon. */
export const deviceName: fc.Arbitrary<string> = fc
  .oneof(
    fc.constantFrom(
      '-foo',
      '--',
      'a;b',
      'a|b',
      '$(reboot)',
      '`id`',
      "a'b",
      'a"b',
      'a#b',
      'a\\',
      'eth0@if3',
      'ü',
      'all',
    ),
    fc.constantFrom(
      '\u001b[2J',
      'a\u009bb',
      'flannel.1;x',
      'up',
      'dev',
      'a\u0001b',
      '\u202ea',
      '*',
      '{}',
      '\ufffd\ufffd',
    ),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 15 }),
  )
  .map((name) => name.replaceAll(/[\s/:\0]/g, ''))
  .filter((name) => name !== '' && name !== '.' && name !== '..' && Buffer.byteLength(name) < 16);

/** Copies of a JSON value in which one to three strings, of keys or values, are hostile. */
export function hostile<T>(value: T): fc.Arbitrary<T> {
  const strings = countStrings(value);
  return fc.array(fc.tuple(fc.nat(strings - 1), change), { minLength: 1, maxLength: 3 }).map((changes) => {
    const byIndex = new Map(changes);
    let index = 0;
    const map = (part: unknown): unknown => {
      if (typeof part === 'string') return (byIndex.get(index++) ?? ((text: string) => text))(part);
      if (Array.isArray(part)) return part.map(map);
      if (typeof part !== 'object' || part === null) return part;
      return Object.fromEntries(Object.entries(part).map(([key, field]) => [map(key), map(field)]));
    };
    return map(value) as T;
  });
}

function countStrings(value: unknown): number {
  if (typeof value === 'string') return 1;
  if (typeof value !== 'object' || value === null) return 0;
  const keys = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce((sum: number, part) => sum + countStrings(part), keys);
}
