/** Other programs that want the same device, network or pods: flanneld, DHCP clients, other CNI plugins. */

import { basename, join } from 'node:path';
import { shellWord } from '../support/printable.js';
import { entries, linkTarget, read } from '../support/proc-files.js';
import { readTextFile } from '../support/read-file.js';
import { type Finding, problem } from './finding.js';

/** Where container runtimes look for their network configuration. */
export const CNI_DIRECTORY = '/etc/cni/net.d';

interface Process {
  pid: number;
  name: string;
  cgroup: string;
}

/** Returns the processes of this network namespace with one of these names. `proc` is /proc, or a copy for tests. */
export function processesNamed(names: readonly string[], proc = '/proc'): Process[] {
  const netns = linkTarget(`${proc}/self/ns/net`);
  return entries(proc)
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      const exe = linkTarget(`${proc}/${entry}/exe`);
      // A script has the name of its interpreter there: Weft's alias flanneld is none of these programs.
      const name = exe === undefined ? read(`${proc}/${entry}/comm`).trim() : basename(exe);
      if (!names.includes(name) || linkTarget(`${proc}/${entry}/ns/net`) !== netns) return [];
      return [{ pid: Number(entry), name, cgroup: read(`${proc}/${entry}/cgroup`) }];
    });
}

/** Reports a flanneld that runs here. `adopts`: whether Weft is to take its place. */
export function checkFlanneld(adopts: boolean, proc = '/proc'): Finding[] {
  return processesNamed(['flanneld'], proc).map(({ pid, cgroup }) => {
    const [, unit] = /\/([^/\n]+\.service)\s*$/m.exec(cgroup) ?? [];
    const inPod = /kubepods|cri-|libpod/.test(cgroup);
    const fix = inPod
      ? 'Keep kube-flannel off this node, as docs/guides/kubeadm.md says (beside kube-flannel).'
      : unit === undefined
        ? `kill ${pid}`
        : `systemctl disable --now ${unit}`;
    return problem(
      'flanneld-runs',
      adopts ? 'warning' : 'error',
      `flanneld runs here too (pid ${pid})`,
      'Both change the same device, routes and rules; each undoes what the other has set.',
      fix,
    );
  });
}

/** How to keep each DHCP client off the overlay devices. */
const DHCP_CLIENTS: Readonly<Record<string, (device: string, pid: number) => string>> = {
  dhcpcd: () => "echo 'denyinterfaces flannel*' >> /etc/dhcpcd.conf && systemctl restart dhcpcd",
  NetworkManager: (device) => `nmcli device set ${shellWord(device)} managed no`,
  'systemd-networkd': () =>
    'printf "[Match]\\nName=flannel*\\n[Link]\\nUnmanaged=yes\\n" > /etc/systemd/network/10-weft.network && networkctl reload',
  dhclient: (_, pid) => `kill ${pid}`,
  udhcpc: (_, pid) => `kill ${pid}`,
};
/** These have a process per device: that of the underlay must go on. */
const PER_DEVICE = ['dhclient', 'udhcpc'];

function words(path: string): string[] {
  return read(path).split('\0');
}

/** An address as `ip -json address show` prints it. */
export interface DeviceAddress {
  local?: string;
  prefixlen?: number;
  dynamic?: boolean;
  scope?: string;
}

/** Reports addresses that a DHCP client has given to an overlay device: its own one, and a link-local one of IPv4. */
export function checkDhcp(
  device: string,
  own: string | undefined,
  addresses: readonly DeviceAddress[],
  proc = '/proc',
): Finding[] {
  const foreign = addresses.filter(
    ({ local = '', dynamic }) => local !== own && (dynamic === true || local.startsWith('169.254.')),
  );
  const [first] = foreign;
  if (first === undefined) return [];
  const client = processesNamed(Object.keys(DHCP_CLIENTS), proc).find(
    ({ name, pid }) => !PER_DEVICE.includes(name) || words(`${proc}/${pid}/cmdline`).includes(device),
  );
  const remedy = DHCP_CLIENTS[client?.name ?? ''];
  const address = `${first.local}/${first.prefixlen}`;
  return [
    problem(
      'dhcp-client',
      'warning',
      `${device} has the address ${address} of a DHCP client${client === undefined ? '' : ` (${client.name}, pid ${client.pid})`}`,
      'Packets to other nodes leave with this source address, and their answers do not return.',
      (client && remedy?.(device, client.pid)) ?? `ip address delete ${address} dev ${shellWord(device)}`,
    ),
  ];
}

/** Reports a network configuration that the container runtime uses instead of flannel's: the first in order counts. */
export async function checkCni(directory = CNI_DIRECTORY): Promise<Finding[]> {
  const files = entries(directory)
    .filter((name) => /\.(?:conf|conflist|json)$/.test(name))
    .sort();
  const types = await Promise.all(
    files.map(async (name) => typesIn(await readTextFile(join(directory, name)).catch(() => ''))),
  );
  const flannel = types.findIndex((found) => found.includes('flannel'));
  const [first] = files;
  if (flannel <= 0 || first === undefined) return [];
  const path = join(directory, first);
  return [
    problem(
      'cni-conflict',
      'warning',
      `${path} (type ${types[0]?.join(', ') || 'unknown'}) comes before ${files[flannel]} of flannel`,
      "The container runtime uses the first file: new pods get no address of this node's pod subnet.",
      `mv ${shellWord(path)} ${shellWord(`${path}.disabled`)}`,
    ),
  ];
}

/** Returns the plugin types of a configuration, in order. */
function typesIn(text: string): string[] {
  try {
    const json = JSON.parse(text) as { type?: unknown; plugins?: { type?: unknown }[] };
    const types = [
      json.type,
      ...(Array.isArray(json.plugins) ? json.plugins.map((plugin) => plugin?.type) : []),
    ];
    return types.filter((type) => typeof type === 'string');
  } catch {
    return [];
  }
}
