/** The manual page weft(8), made from the commands and their flags (man-pages(7), groff_man(7)). */

import type { Command } from '../command.js';
import type { Usage, UsageGroup, UsageRow } from '../usage.js';

/** What the page says about the program as a whole. */
export interface ManPage {
  readonly version: string;
  /** The date of the release, YYYY-MM-DD. */
  readonly date: string;
  readonly program: Usage;
  readonly options: UsageGroup;
  readonly commands: ReadonlyMap<string, Command>;
}

const DESCRIPTION =
  'Weft runs the vxlan and udp backends of flannel in userspace. It takes the place of flanneld on a node whose kernel has no vxlan module. The other nodes of the cluster need no change.';

const ENVIRONMENT: readonly UsageRow[] = [
  ['FLANNELD_<NAME>', "each of flanneld's flags; a flag on the command line counts more"],
  ['NODE_NAME', 'the name of this node in Kubernetes'],
  ['NO_COLOR', 'weft top without colours'],
];

const FILES: readonly UsageRow[] = [
  ['/etc/weft/weft.conf', 'flags and FLANNELD_* variables of the systemd service'],
  ['/etc/kube-flannel/net-conf.json', 'the network configuration'],
  ['/run/weft', 'the control socket and the state'],
  ['/run/flannel/subnet.env', 'the subnet, for the CNI plugin'],
];

const SEE_ALSO = ['.BR ip (8),', '.BR bridge (8),', '.BR systemctl (1),', '.BR tcpdump (8)'];

const EXIT_STATUS: readonly UsageRow[] = [
  ['0', 'success'],
  ['1', 'failure; one line states the reason'],
  ['2', 'wrong usage'],
];

/** Returns the page in roff. */
export function formatManPage(page: ManPage): string {
  const { version, date, program, options, commands } = page;
  return [
    `.TH WEFT 8 ${quoted(date)} ${quoted(`weft ${version}`)} "System Administration"`,
    ...section('NAME', [`weft \\- ${escaped(program.description)}`]),
    ...section('SYNOPSIS', synopses([program, ...commands.values()])),
    ...section('DESCRIPTION', [escaped(DESCRIPTION)]),
    ...section('OPTIONS', terms(options.rows)),
    ...section(
      'COMMANDS',
      terms(
        [...commands.values()].map(({ synopsis, description, notes = [] }) => [
          synopsis,
          [`${description}.`, ...notes].join(' '),
        ]),
      ),
    ),
    ...flagSections(commands),
    ...section('EXIT STATUS', terms(EXIT_STATUS)),
    ...section('ENVIRONMENT', terms(ENVIRONMENT)),
    ...section('FILES', terms(FILES)),
    ...section('EXAMPLES', [...commands.values()].flatMap(examplesOf)),
    ...section('SEE ALSO', SEE_ALSO),
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

function synopses(usages: readonly Usage[]): string[] {
  return usages.flatMap(({ synopsis }, index) => [...(index === 0 ? [] : ['.br']), escaped(synopsis)]);
}

function examplesOf({ name, examples }: Usage): string[] {
  return [`.SS ${quoted(name)}`, ...terms(examples)];
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
