/** Pods of CNI plugins, run as a container runtime runs them (CNI specification, "Container runtimes"). */

import { mkdir, readFile } from 'node:fs/promises';
import type { Test } from 'tap';
import { CommandError, exec } from '../../../lab/exec.js';
import { type LabNode, makeNetns } from '../../../lab/node.js';
import { DIST } from '../../../lab/world.js';

/** The plugins of Debian's package containernetworking-plugins. */
const PLUGINS = '/usr/lib/cni';

/** The script that writes a conflist from a subnet.env. */
export const INSTALL_CONFLIST = `${DIST}../deploy/cni/install-conflist`;

/** The conflist for nodes with flannel's plugin. */
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

/** The part of the last plugin's ADD result that the tests use. */
interface AddResult {
  readonly ips: readonly { readonly address: string }[];
}

/** A runtime's data of a pod. */
export interface CniPod {
  readonly name: string;
  readonly netns: string;
  /** Addresses with prefix length, in the order of the result. */
  readonly addresses: readonly string[];
  /** The first of them, without prefix length. */
  readonly address: string;
  readonly portMappings: readonly PortMapping[];
}

/** CNI on a node: its conflist, and the state of its plugins. */
export class CniNode {
  readonly node: LabNode;
  private readonly conflist: Conflist;
  private readonly state: string;

  private constructor(node: LabNode, conflist: Conflist) {
    this.node = node;
    this.conflist = conflist;
    this.state = `${node.dir}/var-lib`;
  }

  /** Prepares the node for pods with this conflist instead of the lab's own bridge. */
  static async create(node: LabNode, conflistPath: string): Promise<CniNode> {
    const made = new CniNode(node, await readConflist(conflistPath));
    await mkdir(made.state, { recursive: true });
    await node.exec(['ip', 'link', 'delete', 'cni0']);
    return made;
  }

  /** Makes a namespace and connects it: ADD of each plugin, from the first of the chain to the last. */
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

  /** Disconnects a pod: DEL of each plugin, from the last of the chain to the first. The namespace stays. */
  async delete(pod: CniPod): Promise<void> {
    // Before version 0.4.0 of the specification DEL does not get the result of ADD.
    for (const plugin of [...this.conflist.plugins].reverse()) await this.run('DEL', plugin, pod);
  }

  /** Returns the addresses that host-local has reserved for pods. */
  async reserved(): Promise<string[]> {
    const { stdout } = await exec(['ls', `${this.state}/cni/networks/${this.conflist.name}`]);
    return stdout.split('\n').filter((name) => /^[\da-f]+[.:]/.test(name));
  }

  /** Runs one plugin and returns what it prints. */
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
    // `ip netns exec` makes a mount namespace, in which every node has its own /var/lib for host-local's addresses.
    const script = 'mount --bind "$0" /var/lib && exec env "$@"';
    const argv = ['sh', '-c', script, this.state, ...variables, `${PLUGINS}/${plugin.type}`];
    try {
      return (await this.node.exec(argv, { input: JSON.stringify(configuration) })).stdout;
    } catch (error) {
      // A plugin prints its error to stdout, as JSON over several lines.
      if (!(error instanceof CommandError)) throw error;
      throw new Error(`${command} of ${plugin.type} for ${name}: ${error.stdout}${error.stderr}`);
    }
  }
}
