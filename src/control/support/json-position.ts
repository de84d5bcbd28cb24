/** Positions in a JSON text, for error messages. The text is within the limits of json-text.ts. */

import { createRequire } from 'node:module';
import type { JSONPath, ParseErrorCode } from 'jsonc-parser';

// Loaded on the error path only, and synchronously, because the caller throws.
function parser(): typeof import('jsonc-parser') {
  return createRequire(import.meta.url)('jsonc-parser');
}

/** Returns where and why a text is not JSON; JSON.parse does not report the position in Node 20. */
export function syntaxErrorIn(text: string): { line: number; column: number; reason: string } {
  const { visit, printParseErrorCode } = parser();
  let first: { error: ParseErrorCode; offset: number } | undefined;
  const onError = (error: ParseErrorCode, offset: number): void => {
    first = { error, offset };
    // Ends the visit: the rest may be long.
    throw first;
  };
  try {
    visit(text, { onError }, { disallowComments: true, allowTrailingComma: false });
  } catch (thrown) {
    if (thrown !== first) throw thrown;
  }
  const offset = first?.offset ?? text.length;
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
  let found = 0;
  /** Returns whether the value's parts can be on the path. The last duplicate of a key counts. */
  const see = (offset: number, pathOf: () => JSONPath): boolean => {
    const at = pathOf();
    const isOnPath = at.every((step, index) => String(step) === steps[index]);
    if (isOnPath) found = offset;
    return isOnPath && at.length < steps.length;
  };
  parser().visit(text, {
    onObjectBegin: (offset, _length, _line, _column, pathOf) => see(offset, pathOf),
    onArrayBegin: (offset, _length, _line, _column, pathOf) => see(offset, pathOf),
    // Without them `visit` never leaves a value whose parts it skips.
    onObjectEnd: () => {},
    onArrayEnd: () => {},
    onLiteralValue: (_value, offset, _length, _line, _column, pathOf) => void see(offset, pathOf),
  });
  return lineAt(text, found);
}

function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) line++;
  return line;
}
