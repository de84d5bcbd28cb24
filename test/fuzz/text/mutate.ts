/** Mutations of text: of its characters and lines, and of the tokens of JSON. */

import type { Random } from '../random.js';

/** Levels of nesting that some texts have. */
const DEEP = 100_000;

const STRINGS = [
  '',
  ' ',
  '\n',
  'a\nroute add 1.2.3.4 dev lo',
  '\u0000',
  '\u001b[31m',
  '\r\n\t',
  '\ud800',
  '\u202e\u00ff\ufeff',
  '__proto__',
  'constructor',
  '-x',
  '--batch',
  '; reboot',
  '$(reboot)',
  '"',
  "'",
  '\\',
  '%s%n',
  '../../etc/passwd',
  '0.0.0.0/0',
  '255.255.255.255',
  '10.244.0.0/33',
  '10.244.1.1/24',
  '010.1.1.1',
  '1.2.3',
  '::',
  '::ffff:10.0.0.1',
  'fe80::1%eth0',
  'fd00::/129',
  'ff:ff:ff:ff:ff:ff',
  '00:00:00:00:00:00',
  '02-00-00-00-00-01',
  'NaN',
  '1e9',
  '0x10',
  'true',
  'null',
];

const NUMBERS = [
  '0',
  '-0',
  '-1',
  '1',
  '1.5',
  '65535',
  '65536',
  '16777215',
  '16777216',
  '4294967296',
  '1e999',
  '-1e999',
  '9007199254740993',
  '123456789012345678901234567890',
  '01',
  '1e',
  'NaN',
];
const LITERALS = ['true', 'false', 'null', '{}', '[]', '[[]]', '{"":0}', 'undefined', ''];

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\]:,]|\s+|./gs;

/** Returns a hostile string. */
export function hostileString(random: Random): string {
  if (random.oneIn(40)) return random.pick(['a', '\u00e9', '\u0001']).repeat(random.pick([61, 4096, 65_536]));
  if (random.oneIn(6)) return String.fromCharCode(random.below(0x10000));
  return random.oneIn(4) ? random.pick(STRINGS) + random.pick(STRINGS) : random.pick(STRINGS);
}

/** Returns `text` with one to four mutations; `other` is spliced in at times. */
export function mutate(random: Random, text: string, other: string, isJson: boolean): string {
  let mutated = text;
  for (let times = random.pick([1, 1, 2, 4]); times > 0; times--) {
    mutated = isJson && !random.oneIn(5) ? mutateJson(random, mutated) : mutateText(random, mutated, other);
  }
  return mutated;
}

function mutateText(random: Random, text: string, other: string): string {
  const at = random.below(text.length + 1);
  const end = at + random.below(20);
  const line = text.split('\n');
  switch (random.below(8)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + text.slice(end);
    case 2:
      return text.slice(0, at) + hostileString(random) + text.slice(end);
    case 3:
      return text.slice(0, at) + other.slice(random.below(other.length + 1));
    case 4: {
      const index = random.below(line.length);
      line.splice(index, 0, random.pick(line));
      return line.join('\n');
    }
    case 5:
      line.splice(random.below(line.length), 1);
      return line.join('\n');
    case 6:
      return (
        text.slice(0, at) +
        String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << random.below(8))) +
        text.slice(at + 1)
      );
    default:
      return words(random, text);
  }
}

/** Replaces a word. */
function words(random: Random, text: string): string {
  const parts = text.split(/(\s+)/);
  parts[random.below(parts.length)] = random.oneIn(3) ? random.pick(NUMBERS) : hostileString(random);
  return parts.join('');
}

function mutateJson(random: Random, text: string): string {
  const tokens = text.match(TOKEN) ?? [''];
  const at = random.below(tokens.length);
  switch (random.below(8)) {
    case 0:
    case 1:
    case 2: {
      // A value or a key; punctuation seldom.
      const values = tokens.flatMap((token, index) => (/^["\d\-tfn]/.test(token) ? [index] : []));
      tokens[random.oneIn(10) || values.length === 0 ? at : random.pick(values)] = token(random);
      return tokens.join('');
    }
    case 3:
      tokens.splice(at, random.range(1, 4));
      return tokens.join('');
    case 4:
      return withMember(random, tokens);
    case 5: {
      // A member or element twice: duplicate keys, longer lists.
      const length = random.range(1, 12);
      tokens.splice(at, 0, ...tokens.slice(at, at + length), random.oneIn(2) ? ',' : '');
      return tokens.join('');
    }
    case 6: {
      const depth = random.oneIn(50) ? DEEP : random.range(1, 40);
      const [open, close] = random.pick([
        ['[', ']'],
        ['{"a":', '}'],
        ['{"a":', ''],
      ] as const);
      tokens[at] = open.repeat(depth) + tokens[at] + close.repeat(depth);
      return tokens.join('');
    }
    default: {
      const from = random.below(tokens.length);
      [tokens[at], tokens[from]] = [tokens[from] ?? '', tokens[at] ?? ''];
      return tokens.join('');
    }
  }
}

function token(random: Random): string {
  if (random.oneIn(3)) return random.pick(NUMBERS);
  if (random.oneIn(3)) return random.pick(LITERALS);
  return JSON.stringify(hostileString(random));
}

/** Inserts a member behind an opening brace. */
function withMember(random: Random, tokens: string[]): string {
  const braces = tokens.flatMap((text, index) => (text === '{' ? [index] : []));
  if (braces.length === 0) return tokens.join('');
  const key = random.pick(['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', 'a\nb']);
  const at = random.pick(braces);
  tokens.splice(at + 1, 0, `${JSON.stringify(key)}:${token(random)},`);
  return tokens.join('');
}
