/**
 * Open vSwitch's userspace datapath on a node, with its own database and daemon: the userspace VXLAN that users have
 * today.
 *
 *     pod ── cni0 ── kernel route ── flannel.1 (internal port) ┐
 *                                                             br-int ── vxlan ports, key 1, one per peer ─┐
 *     underlay ── ua ── br-phy (internal port, 192.168.77.x) ─────────────── encapsulated by OVS ─────────┘
 */

import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { exec } from '../exec.js';
import { ipBatch, ipJson, sysctl } from '../ip.js';
import type { VxlanLease } from '../leases.js';
import type { LabNode } from '../node.js';
import { until } from '../until.js';
import { type Dataplane, DEVICE, deviceLines, programPeers } from './dataplane.js';

const SCHEMAS = [
  '/usr/share/openvswitch/vswitch.ovsschema',
  '/usr/local/share/openvswitch/vswitch.ovsschema',
] as const;

/** `ip` lines that delete the devices Open vSwitch leaves; any of them may be missing. */
const TAPS = [DEVICE, 'br-int', 'br-phy', 'ovs-netdev'].map((name) => `link delete ${name}\n`).join('');

/** Starts Open vSwitch on a node with netdev bridges. The underlay address moves to br-phy until it is stopped. */
export async function startOvs(
  node: LabNode,
  options: { readonly peers?: readonly VxlanLease[] } = {},
): Promise<Dataplane> {
  const peers = options.peers ?? node.peers();
  const schema = SCHEMAS.find((path) => existsSync(path));
  if (schema === undefined) throw new Error(`Open vSwitch is not installed: no ${SCHEMAS[0]}`);
  const dir = `${node.dir}/ovs`;
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const env = { OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir, OVS_SYSCONFDIR: dir };
  await exec(['ovsdb-tool', 'create', `${dir}/conf.db`, schema]);

  const database = node.start(
    [
      'ovsdb-server',
      `${dir}/conf.db`,
      `--remote=punix:${dir}/db.sock`,
      `--unixctl=${dir}/db.ctl`,
      '-vconsole:warn',
    ],
    { name: `ovsdb-server on ${node.name}`, env },
  );
  await until('the database of Open vSwitch listens', () => existsSync(`${dir}/db.sock`));
  const vsctl = (...args: string[]) => node.exec(['ovs-vsctl', `--db=unix:${dir}/db.sock`, ...args]);
  await vsctl('--no-wait', 'init');
  const daemon = node.start(
    ['ovs-vswitchd', `unix:${dir}/db.sock`, `--unixctl=${dir}/vswitchd.ctl`, '-vconsole:warn'],
    { name: `ovs-vswitchd on ${node.name}`, env },
  );
  const [underlay] = await ipJson<{ address: string }[]>(node.netns, 'link', 'show', 'dev', node.iface);
  const mac = underlay.address;
  let stopped = false;
  const dataplane: Dataplane = {
    kind: 'ovs',
    node,
    pids: () => (daemon.ended === undefined ? [daemon.pid] : []),
    tail: () => daemon.tail(),
    async stop() {
      if (stopped) return;
      stopped = true;
      await daemon.stop();
      await database.stop();
      await closeToKernel(node, false);
      // Open vSwitch makes its TAPs persistent, for its own restarts.
      await node.exec(['ip', '-force', '-batch', '-'], { input: TAPS }).catch(() => undefined);
      await ipBatch(node.netns, [`address replace ${node.address}/24 dev ${node.iface}`]);
    },
  };
  node.own(dataplane);

  const bridge = (name: string, hwaddr: string) => [
    ...['--', 'add-br', name, '--', 'set', 'Bridge', name, 'datapath_type=netdev', 'fail_mode=standalone'],
    `other-config:hwaddr="${hwaddr}"`,
  ];
  await vsctl(
    ...bridge('br-phy', mac),
    '--',
    'add-port',
    'br-phy',
    node.iface,
    ...bridge('br-int', node.vtepMac),
  );
  await vsctl(
    ...['--', 'add-port', 'br-int', DEVICE, '--', 'set', 'Interface', DEVICE, 'type=internal'],
    `mac="${node.vtepMac}"`,
    ...peers.flatMap((lease, index) => [
      ...['--', 'add-port', 'br-int', `vx${index}`, '--', 'set', 'Interface', `vx${index}`, 'type=vxlan'],
      ...[`options:remote_ip=${lease.PublicIP}`, 'options:key=1', 'options:dst_port=8472'],
    ]),
  );
  await closeToKernel(node, true);
  await ipBatch(node.netns, [
    `address flush dev ${node.iface}`,
    `address add ${node.address}/24 dev br-phy`,
    'link set br-phy up',
    `link set ${DEVICE} mtu ${node.podMtu}`,
    ...deviceLines(node),
  ]);
  const flows = [
    'priority=0,actions=drop',
    ...peers.flatMap((lease, index) => [
      `in_port=${DEVICE},dl_dst=${lease.BackendData.VtepMAC},actions=output:vx${index}`,
      `in_port=vx${index},dl_dst=${node.vtepMac},actions=output:${DEVICE}`,
    ]),
  ];
  await node.exec(['ovs-ofctl', '--names', 'del-flows', `${dir}/br-int.mgmt`]);
  await node.exec(['ovs-ofctl', '--names', 'add-flows', `${dir}/br-int.mgmt`, '-'], {
    input: `${flows.join('\n')}\n`,
  });
  await programPeers(node, peers, { fdb: false });
  return dataplane;
}

/**
 * Keeps the kernel's own stack off the underlay interface while Open vSwitch reads it through a packet socket. Packets
 * arrive at both, and the kernel would answer VXLAN with ICMP port unreachable. Strict reverse-path filtering drops
 * them, because the route to their source uses br-phy.
 */
async function closeToKernel(node: LabNode, closed: boolean): Promise<void> {
  await sysctl(node.netns, {
    [`net/ipv4/conf/${node.iface}/rp_filter`]: closed ? 1 : 0,
    [`net/ipv4/conf/${node.iface}/arp_ignore`]: closed ? 8 : 0,
  });
}
