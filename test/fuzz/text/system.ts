/** Parsers of what programs print, of Weft's own files, of the command line and of control requests. */

import { writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { applyEnvironment, variableOf } from '../../../src/cli/environment.js';
import { RUN_FLAGS } from '../../../src/cli/flags.js';
import { formatFlagsConfig } from '../../../src/cli/flags-config.js';
import { parseFlags } from '../../../src/cli/go-flags.js';
import { runOptions } from '../../../src/cli/run-options.js';
import { formatIp, parseIp } from '../../../src/control/addresses/ip.js';
import { parseVtepMac } from '../../../src/control/addresses/mac.js';
import { ControlServer } from '../../../src/control/ipc/server.js';
import { parseJournal } from '../../../src/control/journal-state.js';
import { parseIpJson } from '../../../src/control/kernel/ip.js';
import { type IpLink, parseLinks } from '../../../src/control/kernel/links.js';
import { parseEvent } from '../../../src/control/kernel/monitor.js';
import { readStoredMacs } from '../../../src/control/leases/stored-macs.js';
import { parseIptables } from '../../../src/control/obstacles/filter/iptables-rules.js';
import {
  devicesByChain,
  nftObjects,
  parseNftTable,
} from '../../../src/control/obstacles/filter/nft-rules.js';
import type { Packet } from '../../../src/control/obstacles/filter/packet.js';
import { type Chains, walk } from '../../../src/control/obstacles/filter/walk.js';
import { checkIpCommand } from '../../../src/control/support/command-input.js';
import { parseObject } from '../../../src/control/support/json-text.js';
import { show, UserError } from '../../../src/control/support/user-error.js';
import { ip } from '../../support/addresses.js';
import { VXLAN } from '../../support/conf.js';
import { CALICO, DOCKER, firewalld, KUBE_PROXY, serverFilter, ufw } from '../../support/rulesets.js';
import { equal, SCRATCH } from './scratch.js';
import type { Parser } from './target.js';

const LINKS = [
  {
    ...{ ifindex: 2, ifname: 'eth0', address: '02:00:00:00:00:01', mtu: 1500, flags: ['BROADCAST', 'UP'] },
    addr_info: [
      { family: 'inet', local: '192.168.77.1', prefixlen: 24, dynamic: true },
      { family: 'inet6', local: 'fe80::1', prefixlen: 64, tentative: true },
    ],
  },
  {
    ...{ ifindex: 3, ifname: 'flannel.1', address: '02:00:00:00:00:0a', mtu: 1450, flags: [] },
    linkinfo: { info_kind: 'vxlan', info_data: { id: 1, port: 8472 } },
  },
];

const ipJson: Parser = {
  name: 'ip-json',
  json: true,
  seeds: [JSON.stringify(LINKS)],
  check(text) {
    for (const { name, usable, assigned } of parseLinks(parseIpJson<IpLink>(text, 'address show'))) {
      if (typeof name !== 'string' || !Array.isArray(usable.ipv4)) throw new Error(`link ${show(name)}`);
      for (const { address } of assigned)
        equal(formatIp(parseIp(formatIp(address)) ?? address), formatIp(address), 'an address');
    }
  },
};

const ipMonitor: Parser = {
  name: 'ip-monitor',
  json: false,
  seeds: [
    '[LINK]3: flannel.1@NONE: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc fq_codel state UP group default \\    link/ether 02:00:00:00:00:0a brd ff:ff:ff:ff:ff:ff',
    '[ADDR]Deleted 2: eth0    inet 192.168.77.1/24 scope global eth0\\       valid_lft forever preferred_lft forever',
    '[NEIGH]10.244.2.0 dev flannel.1 lladdr 02:00:00:00:00:0b PERMANENT',
    '[ROUTE]Deleted blackhole 10.244.0.0/16 dev flannel.1 metric 5',
    '[RULE]32766:\tfrom all lookup main',
  ],
  check(text) {
    for (const line of text.split('\n')) {
      const event = parseEvent(line);
      if (event !== undefined && 'index' in event && !Number.isInteger(event.index))
        throw new Error(`index ${event.index}`);
    }
  },
};

const iptablesListing: Parser = {
  name: 'iptables-listing',
  json: false,
  seeds: [KUBE_PROXY, DOCKER, ufw({ forward: '-A FORWARD -j REJECT' }), CALICO],
  check(text) {
    const { chains } = parseIptables(text);
    checkChains(chains);
  },
};

const PACKET: Packet = {
  family: 'ipv4',
  iif: 'eth0',
  oif: '',
  source: ip('192.168.77.2'),
  destination: ip('192.168.77.1'),
  protocol: 'udp',
  sourcePort: 50_321,
  destinationPort: 8472,
};

const tables = [firewalld({ trusted: '10.244.0.0/16', port: 8472 }), serverFilter([])];

const nftListing: Parser = {
  name: 'nft-listing',
  json: true,
  seeds: tables.flatMap(({ chains, table }) => [
    JSON.stringify({ nftables: chains }),
    JSON.stringify({ nftables: table }),
  ]),
  check(text) {
    const refusal = refusalOf(text);
    try {
      nftObjects(text, 'chain');
      checkChains(parseNftTable(text));
    } catch (error) {
      if ((error as Error).message !== refusal) throw error;
    }
  },
};

/** Follows a packet through every chain. */
function checkChains(chains: Chains): void {
  for (const chain of chains.keys()) {
    const fate = walk(chains, chain, PACKET);
    if (fate.name === 'drop' && typeof fate.rule !== 'string') throw new Error('a rule');
  }
}

/** Returns why a text is no JSON object within the limits, or undefined. */
function refusalOf(text: string): string | undefined {
  try {
    parseObject(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const nftChains: Parser = {
  name: 'nft-chains',
  json: false,
  seeds: [
    'table netdev filter {\n\tchain in {\n\t\ttype filter hook ingress devices = { "eth0", eth1 } priority 0; policy accept;\n\t}\n}\n',
  ],
  check(text) {
    for (const devices of devicesByChain(text).values())
      if (devices.length === 0) throw new Error('no device');
  },
};

const storedMacs: Parser = {
  name: 'vtep-macs',
  json: true,
  seeds: ['{"1":{"ipv4":"02:00:00:00:00:0a","ipv6":"02:00:00:00:01:0a"},"2":{"ipv4":"02:00:00:00:00:0b"}}'],
  async check(text) {
    writeFileSync(join(SCRATCH, 'vtep-macs.json'), text);
    for (const mac of Object.values(await readStoredMacs(SCRATCH, VXLAN))) {
      if (mac !== undefined && parseVtepMac(mac) !== mac) throw new Error(`MAC ${show(mac)}`);
    }
  },
};

/** state.json: a journal that is damaged, or that another program wrote. */
const journal: Parser = {
  name: 'journal',
  json: true,
  seeds: [
    JSON.stringify({
      ...{ pid: 4711, devices: [{ name: 'flannel.1', index: 7 }, { name: 'flannel-v6.1' }] },
      subnetFile: '/run/flannel/subnet.env',
      routes: ['blackhole 10.244.0.0/16 dev lo', '10.244.2.0/24 via 192.168.77.2 dev flannel.1 onlink'],
    }),
    '{"pid":1,"devices":[{"name":"flannel0","index":2}],"routes":["fd00:2::/64 via fd01::2"]}',
  ],
  check(text) {
    const refusal = refusalOf(text);
    try {
      const state = parseJournal(text, () => undefined);
      const again = JSON.stringify(state);
      const refused = (count: number): void => {
        throw new Error(`${count} invalid entries of ${again}`);
      };
      equal(JSON.stringify(parseJournal(again, refused)), again, 'the journal');
      // Routes become arguments of `ip`, one command a line.
      for (const route of state.routes) checkIpCommand(`route delete ${route}`);
    } catch (error) {
      const { message } = error as Error;
      if (message !== refusal) throw new Error(message);
    }
  },
};

/** A command line. */
const flags: Parser = {
  name: 'flags',
  json: false,
  seeds: [
    '--lease-file=/etc/weft/leases.json --net-config-path /etc/kube-flannel/net-conf.json --ip-masq --iface=eth0',
    '-kube-subnet-mgr -kubeconfig-file=/root/.kube/config -v=5 --vmodule=peers=3,ip*=2 --healthz-port=8080',
    '--etcd-endpoints=https://a:2379,https://b:2379 --etcd-username=u --etcd-password=p --subnet-lease-renew-margin=60',
    '--workers=2 --peer-check=mac --busy-poll=50 --gso-trains=off --log-backtrace-at=a.js:12 --public-ip=192.168.77.1',
  ],
  check(text) {
    const { values, given } = parseFlags(text.split(' '), RUN_FLAGS);
    runOptions(values, given);
    formatFlagsConfig(values);
  },
};

/** The environment, one variable a line. */
const environment: Parser = {
  name: 'environment',
  json: false,
  seeds: [
    'FLANNELD_IFACE=eth0\nFLANNELD_IP_MASQ=true',
    'FLANNELD_V=3\nFLANNELD_HEALTHZ_PORT=8080\nFLANNELD_PUBLIC_IP=10.0.0.1',
  ],
  check(text) {
    const pairs = text.split('\n').map((line) => line.split('=', 2) as [string, string?]);
    const { values, given } = parseFlags([], RUN_FLAGS);
    const problems = applyEnvironment(RUN_FLAGS, values, given, Object.fromEntries(pairs));
    for (const problem of problems)
      if (/[\n\r]/.test(problem)) throw new Error(`more than a line: ${show(problem)}`);
    runOptions(values, given);
    if (variableOf('ip-masq') !== 'FLANNELD_IP_MASQ') throw new Error('the name of a variable');
  },
};

let server: Promise<ControlServer> | undefined;

/** One connection a request. The handler answers as the service does. */
const controlRequest: Parser = {
  name: 'control-request',
  json: true,
  seeds: ['{"command":"status"}', '{"command":"status","check":true}', '{"command":"leave"}'],
  async check(text) {
    server ??= ControlServer.listen(SCRATCH, (request) => {
      if (request.command === 'status' || request.command === 'leave') return Promise.resolve({ pid: 1 });
      throw new UserError(`unknown request ${show(request)}`);
    });
    const answer = await exchange((await server).path, text);
    if (answer === '') return;
    const { ok, error } = JSON.parse(answer) as { ok: unknown; error?: unknown };
    const isError = ok === false && typeof error === 'string' && !answer.includes('\n');
    if (ok !== true && !isError) throw new Error(`answer ${show(answer)}`);
  },
};

function exchange(path: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = createConnection(path);
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      answer += chunk;
    });
    // A request that is too long: the server closes.
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer.trim()));
    socket.end(text);
  });
}

/** Ends the control server, which would keep the process alive. */
export async function closeServer(): Promise<void> {
  await (await server)?.close();
}

export const SYSTEM_PARSERS = [
  ipJson,
  ipMonitor,
  iptablesListing,
  nftListing,
  nftChains,
  storedMacs,
  journal,
  flags,
  environment,
  controlRequest,
];
