/**
 * Command injection by hostile text in leases, configuration, state and device names. `ip`, iptables-restore and nft get
 * only commands of the grammar below. Logs and errors have only printable characters.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type PerFamily, valueIn } from '../../src/control/addresses/family.js';
import { displacedRoutes } from '../../src/control/backends/vxlan/displaced-routes.js';
import { VxlanPeers } from '../../src/control/backends/vxlan/peers.js';
import { type NetConf, readNetConf } from '../../src/control/config/net-conf.js';
import { IPTABLES_CHAINS, type IptablesChain } from '../../src/control/firewall/chains.js';
import { emptyingText, jumpsAmong, restoreText } from '../../src/control/firewall/iptables-text.js';
import { Nftables } from '../../src/control/firewall/nftables.js';
import { forwardRules, masqRules } from '../../src/control/firewall/rules.js';
import { Journal, readJournal } from '../../src/control/journal.js';
import { configureDevice, DeviceGone, refuseExisting } from '../../src/control/kernel/device.js';
import { removeDiversions } from '../../src/control/kernel/diverts.js';
import { deleteRoutes, ipBatch, ipRun } from '../../src/control/kernel/ip.js';
import { parseLinks } from '../../src/control/kernel/links.js';
import type { KernelSnapshot } from '../../src/control/kernel/snapshot.js';
import { EntryReader } from '../../src/control/leases/etcd/entry.js';
import { Long } from '../../src/control/leases/etcd/library.js';
import { Registry } from '../../src/control/leases/etcd/registry.js';
import { readLeaseFile } from '../../src/control/leases/file/lease-file.js';
import { LeaseSetBuilder } from '../../src/control/leases/kubernetes/lease-sets.js';
import { recordOf } from '../../src/control/leases/kubernetes/node-record.js';
import type { Lease } from '../../src/control/leases/lease.js';
import { BlackholeRoute } from '../../src/control/node/blackhole-route.js';
import { UserError } from '../../src/control/support/user-error.js';
import { chooseUnderlay } from '../../src/control/underlay/choose.js';
import { cidr, ip as ipOf } from '../support/addresses.js';
import { type Captured, captureCommands } from '../support/captured-commands.js';
import { catchStderr } from '../support/catch-log.js';
import { FakeDataplane } from '../support/fake-dataplane.js';
import { deviceName, hostile } from '../support/hostile-text.js';
import { PREFIX, peerNode } from '../support/kube-nodes.js';
import { leaseOf, nodeLease } from '../support/leases.js';

// The grammar, independent of the code that writes the commands.
const IP = String.raw`(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?)`;
const NET = String.raw`${IP}/\d{1,3}`;
const MAC = '[0-9a-f]{2}(?::[0-9a-f]{2}){5}';
const OVERLAY = String.raw`flannel(?:-v6)?\.\d{1,8}`;
/** Any name that iproute2 reads as one word; bytes above 0x7f are UTF-8. */
const NAME = String.raw`[\x21-\x7e\x80-\xff]+`;
const IP_COMMANDS = [
  `link set dev ${OVERLAY} address ${MAC} mtu \\d+ txqueuelen \\d+ alias weft`,
  `link set dev ${OVERLAY} up`,
  `link delete ${OVERLAY}`,
  `address replace ${NET} dev ${OVERLAY}(?: nodad)?`,
  `address delete ${NET} dev ${OVERLAY}`,
  `neighbour replace ${IP} lladdr ${MAC} dev ${OVERLAY} nud permanent`,
  `route replace ${NET} via ${IP} dev ${OVERLAY} onlink`,
  `route (?:add|delete) blackhole ${NET}(?: dev lo)?`,
  `route delete ${NET}(?: via ${IP})?(?: dev ${OVERLAY})?(?: onlink)?`,
  `route append ${NET} dev ${NAME} proto kernel scope link src ${IP}`,
  `route add ${NET} dev ${NAME} proto kernel metric 256`,
];
const ARGUMENTS = [
  'ip -force -batch -',
  'ip -json -details address show',
  'ip -json -[46] route show default',
  `ip -json route get ${IP}`,
  'nft --file -',
];
const MATCH = String.raw`(?:ip6? [sd]addr (?:!= )?${NET} )`;
const NFT_LINES = [
  'table ip6? flannel-ipv[46](?: \\{)?',
  'delete table ip6? flannel-ipv[46]',
  '\\tcomment "rules for flannel-ipv[46]"',
  '\\tchain (?:postrtg|forward) \\{',
  '\\t\\tcomment "[a-z ]+"',
  '\\t\\ttype (?:nat|filter) hook (?:postrouting|forward) priority (?:srcnat|filter); policy accept;',
  `\\t\\t(?:meta mark 0x4000 )?${MATCH}*(?:return|accept|masquerade(?: fully-random)?)`,
  '\\t?\\}',
];
const RESTORE_LINES = [
  '\\*(?:nat|filter)',
  ':FLANNEL-(?:POSTRTG|FWD) - \\[0:0\\]',
  '-F FLANNEL-(?:POSTRTG|FWD)',
  '-[AD] (?:POSTROUTING|FORWARD) -m comment --comment "flanneld [a-z]+" -j FLANNEL-(?:POSTRTG|FWD)',
  `-A FLANNEL-(?:POSTRTG|FWD) (?:-m mark --mark 0x4000/0x4000 )?(?:(?:! )?-[sd] ${NET} )*-m comment --comment "flanneld [a-z]+" -j (?:RETURN|ACCEPT|MASQUERADE)(?: --random-fully)?`,
  'COMMIT',
];

/** @throws Error unless every line of the text, as bytes, is one of the grammar */
function onlyLines(text: string, grammar: readonly string[]): void {
  const allowed = new RegExp(`^(?:${grammar.join('|')})$`);
  const lines = text.split('\n');
  if (lines.pop() !== '') throw new Error(`no line end: ${JSON.stringify(text.slice(-200))}`);
  const bad = lines.find((line) => !allowed.test(line));
  if (bad !== undefined) throw new Error(`not in the grammar: ${JSON.stringify(bad.slice(0, 200))}`);
}

function isPrintable(text: string): boolean {
  return !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(text);
}

/** A node on which hostile input takes effect. */
class Node {
  /** How often input was accepted, and commands ran. */
  accepted = 0;
  private readonly take: () => Captured;
  private readonly log: string[];
  private readonly dir: string;

  constructor(t: Test) {
    this.take = captureCommands(t);
    this.log = catchStderr(t);
    this.dir = t.testdir({});
  }

  file(name: string): string {
    return join(this.dir, name);
  }

  /** Runs a step that may refuse its input, then checks all that it left. */
  async run(step: () => Promise<void>): Promise<void> {
    try {
      await step();
      this.accepted++;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (!isPrintable(error.message)) throw new Error(`not printable: ${JSON.stringify(error.message)}`);
    }
    const { arguments: args, ip, nft } = this.take();
    onlyLines(args || '\n', ['', ...ARGUMENTS]);
    onlyLines(ip || '\n', ['', ...IP_COMMANDS]);
    onlyLines(nft || '\n', ['', ...NFT_LINES]);
    const bad = this.log.find((line) => !isPrintable(line));
    if (bad !== undefined) throw new Error(`not printable in the log: ${JSON.stringify(bad.slice(0, 200))}`);
    this.log.length = 0;
  }

  /** Sets up the device, the peers, the blackhole route and the rules of one family. */
  async realize({ networks, backend }: NetConf, own: Lease, peers: readonly Lease[]): Promise<void> {
    const { network } = valueIn(networks, 'ipv4');
    const device = `flannel.${backend.type === 'vxlan' ? backend.vni : 0}`;
    const journal = new Journal(this.dir, '/run/flannel/subnet.env');
    const state = { name: device, mac: own.vtepMac, mtu: 1450, subnet: own.subnet };
    await configureDevice(state).catch((error: unknown) => {
      // The fake `ip` lists no device.
      if (!(error instanceof DeviceGone)) throw error;
    });
    const { signal } = new AbortController();
    const options = { device, network, signal, journal, directRouting: false, learning: false };
    await new VxlanPeers(new FakeDataplane(() => {}).asDataplane, options).apply(peers);
    await new BlackholeRoute(journal, device).add(own.subnet);
    const pod = { network, subnet: own.subnet };
    const rules = { masq: masqRules('ipv4', pod), forward: forwardRules(pod) };
    await new Nftables('ipv4', true).write(rules);
    for (const chain of IPTABLES_CHAINS) {
      onlyLines(restoreText(chain, rules[chain.set], [], true), RESTORE_LINES);
    }
  }
}

const NET_CONF = {
  Network: '10.244.0.0/16',
  SubnetMin: '10.244.1.0',
  Backend: { Type: 'vxlan', VNI: 1, Note: 'free text' },
};
const LEASES = {
  leases: [1, 2, 3].map((index) => ({
    Subnet: `10.244.${index}.0/24`,
    PublicIP: `192.168.77.${index}`,
    BackendType: 'vxlan',
    BackendData: { VNI: 1, VtepMAC: `02:00:00:00:00:0${index}` },
    Note: 'free text',
  })),
};

t.test('net-conf.json and lease file give only commands of the grammar', async (t) => {
  const node = new Node(t);
  const [confPath, leasePath] = [node.file('net-conf.json'), node.file('leases.json')];
  const files = fc.oneof(fc.tuple(hostile(NET_CONF), fc.constant(LEASES)), {
    weight: 2,
    arbitrary: fc.tuple(fc.constant(NET_CONF), hostile(LEASES)),
  });
  await fc.assert(
    fc.asyncProperty(files, async ([conf, leases]) => {
      writeFileSync(confPath, JSON.stringify(conf));
      writeFileSync(leasePath, JSON.stringify(leases));
      await node.run(async () => {
        const netConf = await readNetConf(confPath);
        const read = await readLeaseFile(leasePath, 1, ['ipv4']);
        const [own = nodeLease(1), ...peers] = valueIn(read.leases, 'ipv4');
        await node.realize(netConf, own, peers);
      });
    }),
    { numRuns: 60 },
  );
  t.ok(node.accepted > 2, `${node.accepted} accepted`);
});

const CONF = {
  backend: { type: 'vxlan', vni: 1 },
  networks: { ipv4: { network: cidr('10.244.0.0/16'), subnets: undefined } },
} as NetConf;

t.test('keys and values in etcd give only commands of the grammar', async (t) => {
  const node = new Node(t);
  const registry = new Registry(undefined as never, '/coreos.com/network', 86_400);
  const entry = {
    name: '10.244.2.0-24',
    value: {
      PublicIP: '192.168.77.2',
      BackendType: 'vxlan',
      BackendData: { VNI: 1, VtepMAC: '02:00:00:00:00:02' },
      Notes: ['free text', 'more', 'and more'],
    },
  };
  await fc.assert(
    fc.asyncProperty(hostile(entry), async (changed) => {
      const { name = '', value = {} } = changed;
      const kv = {
        key: Buffer.from(`${registry.subnets}${name}`),
        value: Buffer.from(JSON.stringify(value)),
        lease: Long.ZERO,
        modRevision: Long.ZERO,
      };
      await node.run(async () => {
        const reader = new EntryReader(registry, CONF);
        const read = reader.read(kv);
        const peer = read && reader.leasesOf(read)?.ipv4;
        if (peer === undefined) throw new UserError('no lease');
        await node.realize(CONF, nodeLease(1), [peer]);
      });
    }),
    { numRuns: 100 },
  );
  t.ok(node.accepted > 2, `${node.accepted} accepted`);
});

t.test('annotations give only commands of the grammar', async (t) => {
  const node = new Node(t);
  const own = { ipv4: leaseOf('10.100.1.0/24', '172.16.0.1', '02:00:00:00:00:01') };
  await fc.assert(
    fc.asyncProperty(hostile(peerNode(2)), async (object) => {
      await node.run(async () => {
        const record = recordOf(object, PREFIX);
        if (record === undefined) throw new UserError('no node');
        const { ipv4 } = new LeaseSetBuilder(CONF).build(new Map([[record.name, record]]), 'me', own);
        const peers = ipv4?.peers ?? [];
        if (peers.length === 0) throw new UserError('no lease');
        await node.realize(CONF, own.ipv4, peers);
      });
    }),
    { numRuns: 50 },
  );
  t.ok(node.accepted > 2, `${node.accepted} accepted`);
});

t.test('state.json gives only commands of the grammar', async (t) => {
  const node = new Node(t);
  const state = {
    pid: 7,
    devices: [{ name: 'flannel.1', index: 5 }, { name: 'flannel-v6.1' }],
    subnetFile: '/run/flannel/subnet.env',
    routes: ['10.244.2.0/24 via 192.168.77.2', 'blackhole 10.244.1.0/24', 'blackhole fd00:244:1::/64 dev lo'],
  };
  await fc.assert(
    fc.asyncProperty(hostile(state), async (changed) => {
      writeFileSync(node.file('state.json'), JSON.stringify(changed));
      await node.run(async () => {
        const read = await readJournal(node.file(''));
        await deleteRoutes(read?.routes ?? []);
        await ipRun((read?.devices ?? []).map(({ name }) => `link delete ${name}`));
      });
    }),
    { numRuns: 40 },
  );
  t.ok(node.accepted > 30, `${node.accepted} accepted`);
});

t.test('names of devices give only commands of the grammar', async (t) => {
  const node = new Node(t);
  const subnet = '10.244.2.0/24';
  await fc.assert(
    fc.asyncProperty(deviceName, async (name) => {
      const links = parseLinks([
        {
          ...{ ifindex: 2, ifname: name, address: '02:00:00:00:00:09', mtu: 1500, flags: ['UP'] },
          addr_info: [
            { local: '192.168.77.1', prefixlen: 24 },
            { local: '10.244.2.1', prefixlen: 24 },
          ],
        },
      ]);
      const routes = [{ dst: 'default', dev: name, gateway: '192.168.77.254' }];
      const snapshot: KernelSnapshot = { links, neighbours: [], routes };
      const devices = {
        family: 'ipv4',
        device: 'flannel.1',
        devices: ['flannel.1'],
        network: cidr('10.244.0.0/16'),
      } as const;
      await node.run(async () => {
        await ipBatch(displacedRoutes('flannel.1', new Set([subnet]), new Map(), snapshot));
        await removeDiversions(devices, snapshot, [ipOf('192.168.77.1')]);
      });
      const publicIp: PerFamily<string> = {};
      for (const iface of [[name], ['none'], []])
        await node.run(async () => {
          await chooseUnderlay(links, { iface, ifaceRegex: [], ifaceCanReach: '192.168.77.9', publicIp }, [
            'ipv4',
          ]);
        });
      await node.run(async () => refuseExisting(links, name));
    }),
    { numRuns: 25 },
  );
  t.ok(node.accepted > 25, `${node.accepted} accepted`);
});

t.test('a printed rule of another program stays one deletion for iptables-restore', async () => {
  const [, forward] = IPTABLES_CHAINS as [IptablesChain, IptablesChain];
  const jump = '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD';
  fc.assert(
    fc.property(hostile([jump]), (printed) => {
      const jumps = jumpsAmong(printed, forward);
      try {
        const [table, ...lines] = emptyingText(forward, jumps).split('\n');
        const [end, commit, flush, ...deletions] = lines.reverse();
        return (
          `${table} ${flush} ${commit}${end}` === '*filter -F FLANNEL-FWD COMMIT' &&
          deletions.length === jumps.length &&
          deletions.every((line) => line.startsWith('-D '))
        );
      } catch (error) {
        if (error instanceof UserError) return true;
        throw error;
      }
    }),
    { numRuns: 300 },
  );
});
