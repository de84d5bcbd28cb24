/** Pods made by CNI plugins, run as a container runtime runs them (CNI specification, "Container runtimes"). */

import { mkdir, readFile } from 'node:fs/promises';
import type { Test } from 'tap';
import { CommandError, exec } from '../../../lab/exec.js';
import { type LabNode, makeNetns } from '../../../lab/node.js';
import { DIST } from '../../../lab/world.js';

/** Where Debian's containernetworking-plugins has them. */
const PLUGINS = '/usr/lib/cni';

/** The script that makes a conflist of a subnet.env. */
export const INSTALL_CONFLIST = `${DIST}../deploy/cni/install-conflist`;

/** The conflist for nodes that have flannel's plugin. */
export const FLANNEL_CONFLIST = `${DIST}../deploy/cni/10-flannel.conflist`;

/** A mapping of the capability portMappings. */
export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp';
}

interface Plugin {
  readonly type: string;
  readonly capabilities?: { readonly portMappings?: boolean };
}

export interface Conflist {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly Plugin[];
}

export async function readConflist(path: string): Promise<Conflist> {
  return JSON.parse(await readFile(path, 'utf8')) as Conflist;
}

/** What the last plugin of the chain answers to ADD, as far as it is asked for here. */
interface AddResult {
  readonly ips: readonly { readonly address: string }[];
}

/** What a runtime knows of a pod. */
export interface CniPod {
  readonly name: string;
  readonly netns: string;
  /** Addresses with prefix length, in the order of the result. */
  readonly addresses: readonly string[];
  /** The first of them, without prefix length. */
  readonly address: string;
  readonly portMappings: readonly PortMapping[];
}

/** A node's side of CNI: its conflist, and what its plugins keep. */
export class CniNode {
  readonly node: LabNode;
  private readonly conflist: Conflist;
  private readonly state: string;

  private constructor(node: LabNode, conflist: Conflist) {
    this.node = node;
    this.conflist = conflist;
    this.state = `${node.dir}/var-lib`;
  }

  /** Makes the node ready for pods with this conflist, in place of the lab's own bridge. */
  static async create(node: LabNode, conflistPath: string): Promise<CniNode> {
    const made = new CniNode(node, await readConflist(conflistPath));
    await mkdir(made.state, { recursive: true });
    await node.exec(['ip', 'link', 'delete', 'cni0']);
    return made;
  }

  /** Makes a namespace and has the plugins connect it: ADD, from the first of the chain to the last. */
  async add(
    t: Test,
    name: string,
    portMappings: readonly PortMapping[] = [],
    { ipv6 = false }: { readonly ipv6?: boolean } = {},
  ): Promise<CniPod> {
    const netns = `${this.node.netns}-${name}`;
    await makeNetns(netns, ipv6);
    t.teardown(() => exec(['ip', 'netns', 'delete', netns]));
    let result: AddResult | undefined;
    for (const plugin of this.conflist.plugins) {
      const answer = await this.run('ADD', plugin, { name, netns, portMappings }, result);
      result = JSON.parse(answer) as AddResult;
    }
    const addresses = result?.ips.map(({ address }) => address) ?? [];
    return { name, netns, addresses, address: addresses[0]?.split('/')[0] ?? '', portMappings };
  }

  /** DEL, from the last plugin of the chain to the first; the namespace stays. */
  async delete(pod: CniPod): Promise<void> {
    // Before version 0.4.0 of the specification DEL is not told the result of ADD.
    for (const plugin of [...this.conflist.plugins].reverse()) await this.run('DEL', plugin, pod);
  }

  /** The addresses that host-local holds for pods. */
  async reserved(): Promise<string[]> {
    const { stdout } = await exec(['ls', `${this.state}/cni/networks/${this.conflist.name}`]);
    return stdout.split('\n').filter((name) => /^[\da-f]+[.:]/.test(name));
  }

  /** Runs one plugin; what it prints. */
  private async run(
    command: 'ADD' | 'DEL',
    plugin: Plugin,
    { name, netns, portMappings }: Pick<CniPod, 'name' | 'netns' | 'portMappings'>,
    prevResult?: AddResult,
  ): Promise<string> {
    const { name: network, cniVersion } = this.conflist;
    const mapped = plugin.capabilities?.portMappings === true && portMappings.length > 0;
    const configuration = {
      ...plugin,
      ...{ name: network, cniVersion, prevResult },
      ...(mapped ? { runtimeConfig: { portMappings } } : {}),
    };
    const variables = [
      ...[`CNI_COMMAND=${command}`, `CNI_CONTAINERID=${name}`, `CNI_NETNS=/run/netns/${netns}`],
      ...['CNI_IFNAME=eth0', `CNI_PATH=${PLUGINS}`],
    ];
    // `ip netns exec` makes a mount namespace: in it every node has a /var/lib of its own for host-local's addresses.
    const script = 'mount --bind "$0" /var/lib && exec env "$@"';
    const argv = ['sh', '-c', script, this.state, ...variables, `${PLUGINS}/${plugin.type}`];
    try {
      return (await this.node.exec(argv, { input: JSON.stringify(configuration) })).stdout;
    } catch (error) {
      // A plugin prints what went wrong to stdout, as JSON over several lines.
      if (!(error instanceof CommandError)) throw error;
      throw new Error(`${command} of ${plugin.type} for ${name}: ${error.stdout}${error.stderr}`);
    }
  }
}
