// The tables of flags in docs/configuration.md, made from the definitions in src/cli/flags.ts.

/** The groups of flags, in the order of the page. Every flag is in exactly one of them. */
export const GROUPS = {
  etcd: [
    'etcd-endpoints',
    'etcd-prefix',
    'etcd-keyfile',
    'etcd-certfile',
    'etcd-cafile',
    'etcd-username',
    'etcd-password',
    'subnet-lease-renew-margin',
  ],
  kubernetes: [
    'kube-subnet-mgr',
    'kube-api-url',
    'kubeconfig-file',
    'kube-annotation-prefix',
    'set-node-network-unavailable',
  ],
  files: ['lease-file', 'net-config-path', 'subnet-file', 'run-dir'],
  underlay: ['iface', 'iface-regex', 'iface-can-reach', 'public-ip', 'public-ipv6'],
  firewall: [
    'ip-masq',
    'ip-masq-fully-random-disable',
    'iptables-forward-rules',
    'iptables-resync',
    'ip-blackhole-route',
  ],
  start: ['adopt', 'takeover'],
  dataplane: ['workers', 'offload', 'gso-trains', 'busy-poll', 'peer-check'],
  log: [
    'healthz-ip',
    'healthz-port',
    'metrics-peers',
    'v',
    'vmodule',
    'log_backtrace_at',
    'log-format',
    'version',
  ],
};

/** The defaults that no definition states, because the value comes from elsewhere. */
const DEFAULTS = {
  iface: 'that of the default route',
  'public-ip': "the interface's",
  'public-ipv6': "the interface's",
  'peer-check': '`strict`; `off` with `Learning`',
};

/** Links behind the meaning of a flag. */
const LINKS = {
  'kube-subnet-mgr': '[more](kubernetes.md)',
  'etcd-endpoints': '[more](etcd.md)',
  'lease-file': '[format](lease-file.md)',
  iface: '[order](interface.md)',
  'ip-masq': '[rules](firewall.md)',
  adopt: '[more](guides/migration.md)',
  takeover: '[more](guides/upgrade.md)',
  workers: '[when to use more](decisions/0008-workers.md)',
  offload: '[more](fast-path.md)',
  'gso-trains': '[why](operations.md#offload)',
  'busy-poll': '[why](decisions/0007-waiting.md)',
  'peer-check': '[more](decisions/0005-peer-check.md)',
  'healthz-port': '[paths](cli.md#health)',
  'metrics-peers': '[more](metrics.md)',
  'log-format': '[format](cli.md#log)',
};

const BEGIN = /^<!-- npm run docs writes this table: (\w+) -->$/;
const END = '<!-- end of the table -->';

/**
 * Returns the page with the tables of today. `flannel` and `weft` are the definitions by name; `variableOf` returns the
 * name of a flag's variable. Throws if the page or the groups miss a flag.
 */
export function withFlagTables(page, { flannel, weft, variableOf }) {
  const flags = { ...flannel, ...weft };
  checkGroups(Object.keys(flags));
  const written = new Set();
  const lines = [];
  let inTable = false;
  for (const line of page.split('\n')) {
    if (line === END) inTable = false;
    if (!inTable) lines.push(line);
    const [, group] = BEGIN.exec(line) ?? [];
    if (group === undefined) continue;
    if (GROUPS[group] === undefined) throw new Error(`the page has a table of an unknown group: ${group}`);
    written.add(group);
    inTable = true;
    const rows = GROUPS[group].map((name) => row(name, flags[name], name in flannel ? variableOf(name) : ''));
    lines.push('', '| flag | variable | default | meaning |', '|---|---|---|---|', ...rows, '');
  }
  if (inTable) throw new Error(`a table has no line ${END}`);
  const missing = Object.keys(GROUPS).filter((group) => !written.has(group));
  if (missing.length > 0) throw new Error(`the page has no table of ${missing.join(', ')}`);
  return lines.join('\n');
}

/** Throws unless each flag is in exactly one group. */
function checkGroups(names) {
  const grouped = Object.values(GROUPS).flat();
  const wrong = [
    ...names.filter((name) => grouped.filter((other) => other === name).length !== 1),
    ...grouped.filter((name) => !names.includes(name)),
  ];
  if (wrong.length > 0) throw new Error(`GROUPS must have each flag once: ${wrong.join(', ')}`);
}

function row(name, { initial, placeholder, boolean, help }, variable) {
  const flag = `${name === 'v' || name.includes('_') || name === 'vmodule' ? '-' : '--'}${name}`;
  const value = boolean ? '' : ` ${placeholder}`;
  // Its variable would print the version instead of running the node; nobody sets it.
  const shownVariable = variable === '' || name === 'version' ? '' : code(variable);
  const link = LINKS[name] === undefined ? '' : `; ${LINKS[name]}`;
  return `| ${[code(flag + value), shownVariable, shownDefault(name, initial), withCode(help) + link].map(escaped).join(' | ')} |`;
}

function shownDefault(name, initial) {
  if (DEFAULTS[name] !== undefined) return DEFAULTS[name];
  if (initial === undefined || initial === '' || (Array.isArray(initial) && initial.length === 0)) return '';
  return code(String(initial));
}

function code(text) {
  return `\`${text}\``;
}

/** Puts flags, paths and names in the text of `--help` into backticks, unless they are. */
function withCode(text) {
  return text
    .split(/(`[^`]*`)/)
    .map((part) =>
      part.startsWith('`') ? part : part.replace(/(?<![\w-])--[a-z][a-z-]*[a-z]/g, (word) => code(word)),
    )
    .join('');
}

function escaped(cell) {
  return cell.replaceAll('|', '\\|');
}
