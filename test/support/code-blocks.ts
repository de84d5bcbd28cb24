/** The code blocks of the project's pages, and the weft commands in them. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** dist/test/support/code-blocks.js → repository */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export interface Page {
  readonly path: string;
  readonly text: string;
}

export interface CodeBlock {
  /** Page and line, for messages. */
  readonly where: string;
  /** The word after the fence: `sh`, `json`, `ini`, `yaml`; empty without one and for an indented block. */
  readonly language: string;
  readonly text: string;
}

/** Returns the pages that users read: README and docs, without the records of decisions and measurements. */
export function userPages(): Page[] {
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true })
    .map((name) => `docs/${name}`)
    .filter((path) => path.endsWith('.md') && !/decisions|benchmarks|architecture/.test(path));
  return ['README.md', ...docs].map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
}

/** Returns the fenced blocks, also those inside lists, and the blocks indented by four columns. */
export function codeBlocks({ path, text }: Page): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let block: { indent: string; language: string; line: number; lines: string[] } | undefined;
  let indented: { line: number; lines: string[] } | undefined;
  const endIndented = (): void => {
    if (indented !== undefined)
      blocks.push({ where: `${path}:${indented.line}`, language: '', text: indented.lines.join('\n') });
    indented = undefined;
  };
  for (const [index, line] of text.split('\n').entries()) {
    const [, indent = '', language = ''] = /^( *)```(\w*)$/.exec(line) ?? [];
    if (block !== undefined) {
      if (line.trim() === '```') {
        blocks.push({
          where: `${path}:${block.line}`,
          language: block.language,
          text: block.lines.join('\n'),
        });
        block = undefined;
      } else block.lines.push(line.startsWith(block.indent) ? line.slice(block.indent.length) : line);
    } else if (line.trimStart().startsWith('```')) {
      endIndented();
      block = { indent, language, line: index + 1, lines: [] };
    } else if (line.startsWith('    ') && line.trim() !== '') {
      indented ??= { line: index + 1, lines: [] };
      indented.lines.push(line.slice(4));
    } else endIndented();
  }
  endIndented();
  return blocks;
}

/**
 * Returns whether a block is for another machine or another moment. Its first line says so: `# on the node`, `# in a clone
 * of this repository`. Such a block is checked, but not run.
 */
export function isForElsewhere({ text }: CodeBlock): boolean {
  return /^# (on|in) /.test(text);
}

/** Returns the words after `weft` of each command in a text, without comments, redirections and substitutions. */
export function weftCommands(text: string): string[][] {
  // A synopsis has brackets; `weft vtep …` is the text of a hash.
  const lines = text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => !/weft [a-z]+ \[|weft vtep/.test(line));
  return lines.flatMap((line) =>
    [
      ...line
        .replace(/(^|\s)#.*/, '')
        .replaceAll(/ \d?>>? ?\S+/g, '')
        .matchAll(/(?:^|[\s'`(;&|])weft ((?:[a-z]+|--version|--help|-h)(?: [^;&|)`']*)?)/g),
    ].map(([, command = '']) => command.trim().split(/\s+/)),
  );
}
