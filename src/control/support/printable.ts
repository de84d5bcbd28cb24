/**
 * External text on a terminal or in a log. A lease or a device name may contain characters that control the terminal,
 * reverse the direction of the text or begin another line.
 */

/** Control and format characters, line separators and lone surrogates (general categories of Unicode). */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

const UNPRINTABLE_IN_LINE = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Replaces every character that is not printable by its JSON escape: `\n`, `\u001b`. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => SHORT[character] ?? unicodeEscapes(character));
}

/** As `printable`, for a text of several lines. */
export function printableLines(text: string): string {
  // Megabytes of JSON are not split.
  return text.search(UNPRINTABLE_IN_LINE) < 0 ? text : text.split('\n').map(printable).join('\n');
}

/** Returns every string of a JSON value printable, those of keys too. */
export function printableValues<T>(value: T): T {
  const map = (part: unknown): unknown => {
    if (typeof part === 'string') return printable(part);
    if (Array.isArray(part)) return part.map(map);
    if (typeof part !== 'object' || part === null) return part;
    return Object.fromEntries(Object.entries(part).map(([key, field]) => [printable(key), map(field)]));
  };
  return map(value) as T;
}

/** Returns a word as a shell reads it, for commands in messages: in single quotes if the shell would interpret it. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function unicodeEscapes(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
