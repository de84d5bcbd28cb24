/** Positions in a JSON text, for error messages. */

import { createRequire } from 'node:module';
import type { Node } from 'jsonc-parser';

// Loaded on the error path only, and synchronously, because the caller throws.
function parser(): typeof import('jsonc-parser') {
  return createRequire(import.meta.url)('jsonc-parser');
}

/** Returns where and why a text is not JSON; JSON.parse does not report the position in Node 20. */
export function syntaxErrorIn(text: string): { line: number; column: number; reason: string } {
  const { parse, printParseErrorCode } = parser();
  const errors: { error: number; offset: number; length: number }[] = [];
  parse(text, errors, { disallowComments: true, allowTrailingComma: false });
  const first = errors[0];
  const before = text.slice(0, first?.offset ?? text.length).split('\n');
  const reason = first === undefined ? 'unexpected text' : printParseErrorCode(first.error);
  return {
    line: before.length,
    column: (before.at(-1) as string).length + 1,
    reason: reason.replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ').toLowerCase(),
  };
}

/** Returns the line of the value at a path like `leases[3].Subnet`, or of its nearest existing parent. */
export function lineOf(text: string, path: string): number {
  let node: Node | undefined = parser().parseTree(text);
  let offset = 0;
  for (const step of path.match(/[^.[\]]+/g) ?? []) {
    if (node === undefined) break;
    offset = node.offset;
    node = childOf(node, step);
  }
  return text.slice(0, node?.offset ?? offset).split('\n').length;
}

function childOf(node: Node, step: string): Node | undefined {
  if (node.type === 'array') return node.children?.[Number(step)];
  return node.children?.findLast((property) => property.children?.[0]?.value === step)?.children?.[1];
}
