/** The metrics of a node: what its tunnels, its lease source and its firewall know at the moment of a scrape. */

import type { PeerActivity } from '../../dataplane/dataplane.js';
import { formatIp, fromUnderlay } from '../addresses/ip.js';
import type { FamilyTunnel } from '../node/family-tunnel.js';
import { CHECKS, checkOf, OTHER_CHECK } from '../obstacles/obstacle.js';
import type { Service } from '../service.js';
import { addCounters } from './counter-metrics.js';
import type { Labels, MetricsPage, Sample } from './page.js';
import { type PeerFigures, PeerSeries } from './peer-series.js';

/** A kind that was never counted has the value 0: rate() and increase() need a value before the first event. */
const DEVICE_REPAIRS = [
  'address',
  'alias',
  'device',
  'fastPath',
  'link',
  'mac',
  'master',
  'mtu',
  'neighbour',
  'route',
  'sysctl',
];
const NODE_REPAIRS = ['rules', 'runDir', 'subnetFile'];

const LEVELS = ['none', 'gso', 'bpf'];
const DIRECTIONS = { tx: 'transmit', rx: 'receive' } as const;

export class NodeMetrics {
  private readonly mostPeers: number;
  /** By device. */
  private readonly series = new Map<string, PeerSeries>();

  /** `mostPeers`: the number of peers of each device that have series of their own. */
  constructor(mostPeers: number) {
    this.mostPeers = mostPeers;
  }

  /** Adds the metrics of a node whose devices exist. */
  async add(page: MetricsPage, service: Service): Promise<void> {
    const { tunnels } = service.parts;
    addLeases(page, service);
    addObstacles(page, service);
    addRepairs(page, service);
    const figures = await Promise.all(tunnels.map((tunnel) => tunnel.figures()));
    addCounters(
      page,
      tunnels.map((tunnel, index) => ({ device: deviceOf(tunnel), counters: figures[index].counters })),
    );
    addOffload(page, tunnels);
    addWorkers(page, tunnels);
    const rows = tunnels.map((tunnel, index) => this.peersOf(tunnel, figures[index].peers));
    await addPeers(page, tunnels, rows.flat());
  }
  /** Returns no rows if the threads do not answer: rows of zeros would look like a restart. */
  private peersOf(
    tunnel: FamilyTunnel,
    activity: readonly PeerActivity[] | undefined,
  ): [Labels, PeerFigures][] {
    const device = deviceOf(tunnel);
    if (activity === undefined) return [];
    const figures = new Map(activity.map((peer) => [formatIp(fromUnderlay(peer.address)), peer]));
    const series = this.series.get(device) ?? new PeerSeries(this.mostPeers);
    this.series.set(device, series);
    const peers = tunnel.peers.leases.map(({ publicIp }) => formatIp(publicIp));
    return series.update(peers, figures).map(([peer, counts]) => [{ device, peer }, counts]);
  }
}

function deviceOf({ plan }: FamilyTunnel): string {
  return plan.backend.device;
}

function labelsOf(tunnel: FamilyTunnel): { device: string } {
  return { device: deviceOf(tunnel) };
}

/** Returns one sample for each tunnel. */
function each(tunnels: readonly FamilyTunnel[], value: (tunnel: FamilyTunnel) => number): Sample[] {
  return tunnels.map((tunnel) => [labelsOf(tunnel), value(tunnel)]);
}

/** `rows`: the peers that have series. */
async function addPeers(
  page: MetricsPage,
  tunnels: readonly FamilyTunnel[],
  rows: readonly (readonly [Labels, PeerFigures])[],
): Promise<void> {
  page.gauge(
    'weft_peers',
    'Peers that have a lease.',
    each(tunnels, ({ peers }) => peers.leases.length),
  );
  page.gauge(
    'weft_fdb_entries',
    'Entries of the FDB that leases have asked for; with the udp backend, routes.',
    each(tunnels, ({ dataplane }) => dataplane.tableSize),
  );
  const packets: Sample[] = [];
  const bytes: Sample[] = [];
  for (const [labels, { txPackets, txBytes, rxPackets, rxBytes }] of rows) {
    packets.push([{ ...labels, direction: 'tx' }, txPackets], [{ ...labels, direction: 'rx' }, rxPackets]);
    bytes.push([{ ...labels, direction: 'tx' }, txBytes], [{ ...labels, direction: 'rx' }, rxBytes]);
  }
  page.counter(
    'weft_peer_packets_total',
    'Packets to (tx) and from (rx) the public IP of a peer, through the tunnel.',
    packets,
  );
  page.counter(
    'weft_peer_bytes_total',
    'Bytes of the inner packets to (tx) and from (rx) the public IP of a peer.',
    bytes,
  );
  const learning = tunnels.filter(({ plan }) => plan.backend.learning);
  const learned = await Promise.all(learning.map((tunnel) => tunnel.dataplane.learned().catch((): [] => [])));
  page.gauge(
    'weft_learned_entries',
    'Learned entries of the FDB, of all threads; none unless net-conf enables Learning.',
    tunnels.map((tunnel) => [labelsOf(tunnel), learned[learning.indexOf(tunnel)]?.length ?? 0]),
  );
}

function addLeases(page: MetricsPage, service: Service): void {
  const { leases, watchRestarts } = service;
  const { source } = service.parts;
  page.gauge('weft_lease_source_up', 'Whether Weft follows the lease source: 1 or 0.', [
    [{ source: source.name }, source.notReady === null ? 1 : 0],
  ]);
  page.gauge(
    'weft_lease_refused',
    'Whether the newest leases were rejected, and older ones are in force: 1 or 0.',
    [[{}, leases.refused === null ? 0 : 1]],
  );
  page.gauge(
    'weft_lease_age_seconds',
    'Time since the lease source delivered the leases that are in force.',
    [[{}, leases.ageSeconds]],
  );
  page.counter(
    'weft_watch_restarts_total',
    'Watches that ended and were started again: of the lease source, and of kernel events (ip monitor).',
    Object.entries(watchRestarts).map(([watch, count]) => [{ watch }, count]),
  );
}

function addObstacles(page: MetricsPage, { obstacles }: Service): void {
  const counts = new Map<string, number>([...CHECKS, OTHER_CHECK].map((check) => [check, 0]));
  for (const obstacle of obstacles) {
    const check = checkOf(obstacle);
    counts.set(check, (counts.get(check) ?? 0) + 1);
  }
  page.gauge(
    'weft_obstacles',
    'States of the node that Weft does not own and that keep packets from passing, by check.',
    [...counts].map(([check, value]) => [{ check }, value]),
  );
}

function addRepairs(page: MetricsPage, { parts }: Service): void {
  const { tunnels, firewall, files } = parts;
  const zeros = (kinds: readonly string[]) => Object.fromEntries(kinds.map((kind) => [kind, 0]));
  const ofNode = { ...zeros(NODE_REPAIRS), ...files.repairs, rules: firewall.repairs };
  const all: [device: string, repairs: Record<string, number>][] = [
    ...tunnels.map((tunnel): [string, Record<string, number>] => [
      deviceOf(tunnel),
      { ...zeros(DEVICE_REPAIRS), ...tunnel.repairs },
    ]),
    ['', ofNode],
  ];
  page.counter(
    'weft_repairs_total',
    'Objects that Weft restored after another program changed them; without a device, those of the node.',
    all.flatMap(([device, repairs]) =>
      Object.entries(repairs).map(([kind, value]): Sample => [{ device, kind }, value]),
    ),
  );
}

function addOffload(page: MetricsPage, tunnels: readonly FamilyTunnel[]): void {
  page.gauge(
    'weft_offload_level',
    'The offload level in use has 1, the others 0.',
    tunnels.flatMap((tunnel) =>
      LEVELS.map((level): Sample => [{ ...labelsOf(tunnel), level }, level === tunnel.level ? 1 : 0]),
    ),
  );
  page.gauge(
    'weft_offload_fallback',
    'Whether a direction of the forwarding threads fell back to single packets: 1 or 0.',
    tunnels.flatMap((tunnel) =>
      Object.entries(DIRECTIONS).map(([direction, name]): Sample => {
        const { reason } = tunnel.dataplane.levels[name];
        return [{ ...labelsOf(tunnel), direction }, reason === undefined ? 0 : 1];
      }),
    ),
  );
}

function addWorkers(page: MetricsPage, tunnels: readonly FamilyTunnel[]): void {
  const loads = tunnels.flatMap((tunnel) =>
    tunnel.dataplane
      .loads()
      .map((load, index) => ({ labels: { ...labelsOf(tunnel), worker: String(index + 1) }, load })),
  );
  page.counter(
    'weft_worker_busy_seconds_total',
    'Time in which a forwarding thread did not wait for packets; its rate is the utilisation.',
    loads.map(({ labels, load }) => [labels, load.busySeconds]),
  );
  page.histogram(
    'weft_batch_packets',
    'Packets that a forwarding thread took at once from device (tx) or socket (rx). A superpacket counts as one.',
    loads.flatMap(({ labels, load }) =>
      Object.keys(DIRECTIONS).map((direction) => {
        const { buckets, packets } = load[direction as keyof typeof DIRECTIONS];
        return { labels: { ...labels, direction }, buckets, sum: packets };
      }),
    ),
  );
}
