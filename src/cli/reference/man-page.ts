/** The manual page weft(8), made from the commands and their flags (man-pages(7), groff_man(7)). */

import type { Command } from '../command.js';
import type { UsageGroup, UsageRow } from '../usage.js';

/** What the page says about the program as a whole. */
export interface ManPage {
  readonly version: string;
  /** The date of the release, YYYY-MM-DD. */
  readonly date: string;
  readonly synopsis: string;
  readonly description: string;
  readonly options: UsageGroup;
  readonly commands: ReadonlyMap<string, Command>;
}

const FILES: readonly UsageRow[] = [
  ['/etc/weft/weft.conf', 'flags and FLANNELD_* variables of the systemd service'],
  ['/etc/kube-flannel/net-conf.json', 'the network configuration'],
  ['/run/weft', 'the control socket and the state'],
  ['/run/flannel/subnet.env', 'the subnet, for the CNI plugin'],
];

const EXIT_STATUS: readonly UsageRow[] = [
  ['0', 'success'],
  ['1', 'failure; one line states the reason'],
  ['2', 'wrong usage'],
];

/** Returns the page in roff. */
export function formatManPage(page: ManPage): string {
  const { version, date, synopsis, description, options, commands } = page;
  return [
    `.TH WEFT 8 ${quoted(date)} ${quoted(`weft ${version}`)} "System Administration"`,
    ...section('NAME', ['weft \\- userspace VXLAN dataplane that takes the place of flanneld']),
    ...section('SYNOPSIS', synopses(synopsis, commands)),
    ...section('DESCRIPTION', [escaped(description)]),
    ...section('OPTIONS', terms(options.rows)),
    ...section(
      'COMMANDS',
      terms([...commands.values()].map(({ synopsis, description }) => [synopsis, description])),
    ),
    ...flagSections(commands),
    ...section('EXIT STATUS', terms(EXIT_STATUS)),
    ...section('FILES', terms(FILES)),
    ...section('SEE ALSO', ['.BR ip (8),', '.BR systemctl (1)']),
    '',
  ].join('\n');
}

/** Returns the flags of each command. Commands with equal flags share a section. */
function flagSections(commands: ReadonlyMap<string, Command>): string[] {
  const sections = new Map<string, { names: string[]; groups: readonly UsageGroup[] }>();
  for (const [name, { groups }] of commands) {
    const key = JSON.stringify(groups);
    const { names } = sections.get(key) ?? { names: [] };
    sections.set(key, { names: [...names, name], groups });
  }
  return [...sections.values()].flatMap(({ names, groups }) =>
    section(
      `OPTIONS OF ${names.map((name) => name.toUpperCase()).join(', ')}`,
      groups.flatMap(({ heading, rows }) =>
        groups.length === 1 ? terms(rows) : [`.SS ${quoted(heading.replace(/:$/, ''))}`, ...terms(rows)],
      ),
    ),
  );
}

function synopses(synopsis: string, commands: ReadonlyMap<string, Command>): string[] {
  const lines = [synopsis, ...[...commands.values()].map((command) => command.synopsis)];
  return lines.flatMap((line, index) => [...(index === 0 ? [] : ['.br']), escaped(line)]);
}

function section(title: string, lines: readonly string[]): string[] {
  return [`.SH ${quoted(title)}`, ...lines];
}

function terms(rows: readonly UsageRow[]): string[] {
  return rows.flatMap(([term, meaning]) => ['.TP', `.B ${quoted(term)}`, escaped(meaning)]);
}

/** Returns an argument of a macro; a quotation mark ends it. */
function quoted(text: string): string {
  return `"${escaped(text).replaceAll('"', '\\(dq')}"`;
}

/** Escapes what roff interprets: backslashes, minus signs, quotation marks and control lines. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('`', '\\(ga')
    .replaceAll('µ', '\\(mc')
    .replace(/^(?=[.'])/, '\\&');
}
