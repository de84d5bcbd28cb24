/** The MTUs on the way of a pod's packet: pod, bridge, overlay device and underlay, and what subnet.env tells the CNI plugin. */

import { parseEnv } from 'node:util';
import { containsAddress, parseCidr } from '../addresses/cidr.js';
import type { Link } from '../kernel/links.js';
import { shellWord } from '../support/printable.js';
import { readTextFile, UnreadableFile } from '../support/read-file.js';
import type { NodeFacts } from './facts.js';
import { type Finding, problem } from './finding.js';

/** Where flannel's CNI plugin looks for subnet.env. */
const PLUGIN_FILE = '/run/flannel/subnet.env';

const LOST = 'Larger packets of pods are dropped or fragmented: connections start, then hang.';

/** Pods get their MTU when they start. */
const DRAIN = 'kubectl drain NODE --ignore-daemonsets   # then kubectl uncordon NODE';
const UNREAD = "flannel's CNI plugin reads the subnet there: new pods do not start.";

/** `running`: whether Weft runs, so that the overlay device and subnet.env are its own. */
export async function checkMtus(
  facts: NodeFacts,
  links: readonly Link[],
  running: boolean,
): Promise<Finding[]> {
  return [
    ...facts.families.flatMap((family) => checkDevice(family, links, running)),
    ...(await checkSubnetEnv(facts, running)),
    ...checkBridges(facts, links),
  ];
}

function checkDevice(
  { device, mtu, overhead, underlay }: NodeFacts['families'][number],
  links: readonly Link[],
  running: boolean,
): Finding[] {
  const below = links.find(({ name }) => name === underlay);
  const above = running ? links.find(({ name }) => name === device) : undefined;
  const used = above?.mtu ?? mtu;
  if (below === undefined || used + overhead <= below.mtu) return [];
  const what = `${device} has MTU ${used}, and ${underlay} carries ${below.mtu} - ${overhead} = ${below.mtu - overhead}`;
  return [
    problem(
      'mtu-underlay',
      'warning',
      what,
      'Full packets of pods leave in two fragments, which are slow and which many firewalls drop.',
      `ip link set ${shellWord(underlay)} mtu ${used + overhead}`,
    ),
  ];
}

/** A node that does not run Weft gets a new file at its start. */
async function checkSubnetEnv({ subnetFile, podMtu }: NodeFacts, running: boolean): Promise<Finding[]> {
  if (!running) return [];
  const paths = [...new Set([subnetFile, PLUGIN_FILE])];
  const found = await Promise.all(
    paths.map(async (path) => {
      const copy = `cp ${shellWord(subnetFile)} ${shellWord(path)}`;
      const fix = path === subnetFile ? 'systemctl restart weft' : copy;
      const text = await readTextFile(path).catch((error: UnreadableFile) => error);
      if (text instanceof UnreadableFile) {
        // Another --subnet-file may be the one that the plugin's configuration names.
        if (text.isMissing) return [];
        const what = `${path} cannot be read: ${text.message.split(';')[0]}`;
        return [problem('mtu-subnet-env', 'warning', what, UNREAD, `rm -rf ${shellWord(path)} && ${fix}`)];
      }
      const said = parseEnv(text).FLANNEL_MTU ?? '0';
      if (Number(said) <= podMtu) return [];
      const what = `${path} says MTU ${said}, and the overlay carries ${podMtu}`;
      return [problem('mtu-subnet-env', 'warning', what, LOST, fix)];
    }),
  );
  return found.flat();
}

/** The bridge of the pods, and the pods' own devices on it. */
function checkBridges({ families, podMtu }: NodeFacts, links: readonly Link[]): Finding[] {
  const subnets = families.flatMap(({ subnet }) => parseCidr(subnet) ?? []);
  return links
    .filter(
      ({ kind, assigned }) =>
        kind === 'bridge' &&
        assigned.some(({ address }) => subnets.some((subnet) => containsAddress(subnet, address))),
    )
    .flatMap((bridge) => {
      const ports = links.filter(({ master, mtu }) => master === bridge.name && mtu > podMtu);
      const [first] = ports;
      // A bridge without ports has MTU 1500 until the first pod comes.
      const hasPorts = links.some(({ master }) => master === bridge.name);
      if (first !== undefined) {
        const others = ports.length === 1 ? '' : `, and ${ports.length - 1} more`;
        const what = `pods on ${bridge.name} have MTU ${first.mtu} (${first.name}${others}), and the overlay carries ${podMtu}`;
        return [problem('mtu-pods', 'warning', what, LOST, DRAIN)];
      }
      if (!hasPorts || bridge.mtu <= podMtu) return [];
      const what = `the bridge ${bridge.name} has MTU ${bridge.mtu}, and the overlay carries ${podMtu}`;
      const fix = `ip link set ${shellWord(bridge.name)} mtu ${podMtu}`;
      return [problem('mtu-bridge', 'warning', what, LOST, fix)];
    });
}
