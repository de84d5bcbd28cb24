/** Positions in a JSON text, for error messages. The text is within the limits of json-text.ts. */

import { createRequire } from 'node:module';
import type { JSONPath, ParseErrorCode } from 'jsonc-parser';

// Loaded on the error path only, and synchronously, because the caller throws.
function parser(): typeof import('jsonc-parser') {
  return createRequire(import.meta.url)('jsonc-parser');
}

/** The parser collects white space in a string, character by character: 16 MiB of it took six seconds. */
const LONG_SPACE = 64;

/** A text whose long white space is shortened. */
interface Shortened {
  short: string;
  /** Returns the offset in the full text. */
  fullOffset(offset: number): number;
}

function shorten(text: string): Shortened {
  const cuts: { at: number; removed: number }[] = [];
  const parts: string[] = [];
  let copied = 0;
  let removed = 0;
  for (let start = 0; start < text.length; start++) {
    const end = endOfSpace(text, start);
    if (end - start >= LONG_SPACE) {
      const space = text.slice(start, end);
      // A line break ends a string that has no closing quote.
      parts.push(text.slice(copied, start), space.includes('\n') ? '\n' : ' ');
      const at = start - removed;
      removed += space.length - 1;
      cuts.push({ at, removed });
      copied = end;
    }
    start = Math.max(start, end - 1);
  }
  const short = parts.join('') + text.slice(copied);
  const fullOffset = (offset: number): number => {
    const next = cuts.findIndex(({ at }) => at >= offset);
    const last = cuts.at(next < 0 ? -1 : next - 1);
    return next === 0 || last === undefined ? offset : offset + last.removed;
  };
  return { short, fullOffset };
}

/** Returns the end of the white space that begins at an offset; without any, the offset itself. */
function endOfSpace(text: string, start: number): number {
  let end = start;
  while (end < text.length && isSpace(text.charCodeAt(end))) end++;
  return end;
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x09 || unit === 0x0a || unit === 0x0d;
}

/** Returns where and why a text is not JSON; JSON.parse does not report the position in Node 20. */
export function syntaxErrorIn(text: string): { line: number; column: number; reason: string } {
  const { visit, printParseErrorCode } = parser();
  const { short, fullOffset } = shorten(text);
  let first: { error: ParseErrorCode; offset: number } | undefined;
  const onError = (error: ParseErrorCode, offset: number): void => {
    first = { error, offset };
    // Ends the visit: the rest may be long.
    throw first;
  };
  try {
    visit(short, { onError }, { disallowComments: true, allowTrailingComma: false });
  } catch (thrown) {
    if (thrown !== first) throw thrown;
  }
  const offset = first === undefined ? text.length : fullOffset(first.offset);
  const reason = first === undefined ? 'unexpected text' : printParseErrorCode(first.error);
  return {
    line: lineAt(text, offset),
    column: offset - (text.lastIndexOf('\n', offset - 1) + 1) + 1,
    reason: reason.replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ').toLowerCase(),
  };
}

/** Returns the line of the value at a path like `leases[3].Subnet`, or of its nearest existing parent. */
export function lineOf(text: string, path: string): number {
  const steps = path.match(/[^.[\]]+/g) ?? [];
  const { short, fullOffset } = shorten(text);
  let found = 0;
  /** Returns whether the value's parts can be on the path. The last duplicate of a key counts. */
  const see = (offset: number, pathOf: () => JSONPath): boolean => {
    const at = pathOf();
    const isOnPath = at.every((step, index) => String(step) === steps[index]);
    if (isOnPath) found = offset;
    return isOnPath && at.length < steps.length;
  };
  parser().visit(short, {
    onObjectBegin: (offset, _length, _line, _column, pathOf) => see(offset, pathOf),
    onArrayBegin: (offset, _length, _line, _column, pathOf) => see(offset, pathOf),
    // Without them `visit` never leaves a value whose parts it skips.
    onObjectEnd: () => {},
    onArrayEnd: () => {},
    onLiteralValue: (_value, offset, _length, _line, _column, pathOf) => void see(offset, pathOf),
  });
  return lineAt(text, fullOffset(found));
}

function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) line++;
  return line;
}
