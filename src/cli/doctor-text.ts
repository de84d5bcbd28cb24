/** The report of `weft doctor` as text: problems first, at most 80 columns. */

import type { Report } from '../control/doctor/examine.js';
import type { Finding } from '../control/doctor/finding.js';
import { printable } from '../control/support/printable.js';
import { broken, COLUMNS, count, listed } from './text.js';

/** The width of the words ERROR, WARNING and ok, and of `why:` and `fix:` below them. */
const MARGIN = 9;
/** Stands for a blank at which no line may end. */
const HELD = '\u00a0';
/** More findings of one kind than this are cut to so many. */
const MAX_LISTED = 8;
const SHOWN = 5;

export function formatReport({ findings, passed, level }: Report): string {
  const blocks = [...new Set(findings.map(({ id }) => id))].flatMap((id) =>
    blocksOfKind(findings.filter((finding) => finding.id === id)),
  );
  const levelText =
    level.reason === null ? `offload level: ${level.name}` : `offload level: ${level.name} (${level.reason})`;
  const lines = [...passed.map(({ what }) => what), levelText].map((what) => paragraph('ok', what));
  return `${[headline(findings), ...blocks, lines.join('\n')].join('\n\n')}\n`;
}

function headline(findings: readonly Finding[]): string {
  const counts = (['error', 'warning'] as const).map((severity) => {
    const number = findings.filter((finding) => finding.severity === severity).length;
    return number > 0 && count(number, severity);
  });
  return `weft doctor: ${listed(...counts) || 'no problem found'}`;
}

/** Of many findings of a kind only the first ones are shown. */
function blocksOfKind(findings: readonly Finding[]): string[] {
  if (findings.length <= MAX_LISTED) return findings.map(blockOf);
  const more = `and ${findings.length - SHOWN} more of this kind (${findings[0]?.id}); --json lists all`;
  return [...findings.slice(0, SHOWN).map(blockOf), paragraph('', more)];
}

function blockOf({ severity, what, why, fix }: Finding): string {
  return [
    paragraph(severity === 'error' ? 'ERROR' : 'WARNING', what),
    ...(why === null ? [] : [paragraph('   why:', why)]),
    ...(fix === null ? [] : [remedy(fix)]),
  ].join('\n');
}

/** Wraps a text behind a word of the margin. */
function paragraph(word: string, text: string): string {
  return broken(printable(text), COLUMNS - MARGIN)
    .map((line, index) => `${(index === 0 ? word : '').padEnd(MARGIN)}${line}`)
    .join('\n');
}

/** Wraps an instruction, or a command so that a shell reads it as one line and its comment as comments. */
function remedy(text: string): string {
  const isCommand = !/^[A-Z]/.test(text);
  if (!isCommand || MARGIN + text.length <= COLUMNS) return paragraph('   fix:', text);
  const [command = '', comment] = printable(text).split(/ +# /);
  const goesOn = command.includes('…') ? '' : ' \\';
  // A backslash at the end of a line means something else within quotes.
  const whole = command.replace(/'[^']*'|"[^"]*"/g, (quoted) => quoted.replaceAll(' ', HELD));
  const lines = broken(whole, COLUMNS - MARGIN - 2)
    .join(`${goesOn}\n`)
    .replaceAll(HELD, ' ');
  const comments =
    comment === undefined ? [] : broken(comment, COLUMNS - MARGIN - 2).map((line) => `# ${line}`);
  return [...lines.split('\n'), ...comments]
    .map((line, index) => `${(index === 0 ? '   fix:' : '').padEnd(MARGIN)}${line}`)
    .join('\n');
}
