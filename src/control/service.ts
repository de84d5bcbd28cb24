/** The running node: follows the leases and the underlay, and collects what the control socket answers. */

import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import { version } from '../version.js';
import { formatCidr } from './addresses/cidr.js';
import { mapFamilies } from './addresses/family.js';
import { CaptureSession } from './capture/session.js';
import { type Examined, familyView, usesTls } from './doctor/facts.js';
import type { Firewall } from './firewall/firewall.js';
import type { CaptureRequest } from './ipc/protocol.js';
import type { Journal } from './journal.js';
import type { LeaseSets } from './leases/lease.js';
import type { LeaseSource } from './leases/source.js';
import type { DriftMonitor } from './node/drift-monitor.js';
import type { FamilyTunnel } from './node/family-tunnel.js';
import type { OwnFiles } from './node/own-files.js';
import { collectFamily, STARTING, type Status } from './node/status.js';
import { UnderlayFollower } from './node/underlay-follower.js';
import type { Obstacle } from './obstacles/obstacle.js';
import type { ObstacleWatch } from './obstacles/obstacle-watch.js';
import type { RunOptions } from './options.js';
import { lowestMtu, type Plan } from './plan.js';
import type { Privileges } from './privileges.js';
import type { ServiceManager } from './service-manager.js';
import type { Shutdown } from './shutdown.js';
import { type PodSubnets, subnetFile, writeSubnetEnv } from './subnet-env.js';
import { info, warn } from './support/log.js';
import type { TextFile } from './support/text-file.js';
import { UserError } from './support/user-error.js';
import { HandingOver } from './takeover/handing-over.js';
import type { UnderlayTracker } from './underlay/tracker.js';

/** flannel's text for a node whose subnet.env is not written yet. */
export const NOT_READY = 'flanneld is not ready yet';
/** Most that a status waits for the obstacle checks: less than its reader waits (ipc/client.ts). */
export const CHECK_MS = 5000;

export interface ServiceParts {
  options: RunOptions;
  plan: Plan;
  source: LeaseSource;
  firewall: Firewall;
  /** One per family, IPv4 first. */
  tunnels: readonly FamilyTunnel[];
  journal: Journal;
  files: OwnFiles;
  shutdown: Shutdown;
  privileges: Privileges;
  manager: ServiceManager;
}

export class Service {
  readonly parts: ServiceParts;
  private readonly subnetFile: TextFile;
  /** The obstacle checks; they start once the node is ready. */
  watch: ObstacleWatch | undefined;
  /** Repairs drift once the node is ready. */
  monitor: DriftMonitor | undefined;
  handingOver: HandingOver | undefined;
  private capture: CaptureSession | undefined;
  /** Whether a capture is being started. */
  private startsCapture = false;
  private ready = false;
  private tracker: UnderlayTracker | undefined;
  /** Why the newest leases were rejected; null if they are in force. */
  private rejected: string | null = null;
  /** When the source delivered the leases that are in force, by `performance.now`. */
  private deliveredAt = performance.now();

  constructor(parts: ServiceParts) {
    this.parts = parts;
    this.subnetFile = subnetFile(parts.options.subnetFile);
    parts.files.keep('subnetFile', this.subnetFile);
  }

  /** Records that packets pass and that subnet.env is written. */
  markReady(): void {
    this.ready = true;
  }

  /** Whether the node has been ready. */
  get isReady(): boolean {
    return this.ready;
  }

  /** Why this node is not ready; null once it is. */
  get notReady(): string | null {
    const { tunnels, source } = this.parts;
    if (!this.ready) return NOT_READY;
    const lost = tunnels.map(({ notReady }) => notReady).find((reason) => reason !== null);
    return lost ?? this.tracker?.notReady ?? source.notReady;
  }

  /** Why the newest leases were rejected, and how long ago the source delivered those in force. */
  get leases(): { refused: string | null; ageSeconds: number } {
    return { refused: this.rejected, ageSeconds: (performance.now() - this.deliveredAt) / 1000 };
  }

  /** How often a watch ended and was started again: that of the lease source, and `ip monitor`. */
  get watchRestarts(): { leases: number; kernel: number } {
    return { leases: this.parts.source.watchRestarts, kernel: this.monitor?.monitorRestarts ?? 0 };
  }

  /** Writes subnet.env with the present leases. @throws UserError if the file cannot be written */
  async writeSubnetEnv(): Promise<void> {
    const { plan, options, tunnels } = this.parts;
    await writeSubnetEnv(this.subnetFile, {
      networks: mapFamilies(plan.netConf.networks, ({ network }, family) => {
        const tunnel = tunnels.find((candidate) => candidate.plan.family === family);
        return tunnel && { network, subnet: tunnel.own.subnet };
      }),
      mtu: tunnels[0]?.plan.podMtu ?? plan.podMtu,
      ipMasq: options.rules.ipMasq,
    });
    info(`Wrote subnet file to ${options.subnetFile}`);
  }

  /** Writes subnet.env again. A failure does not hold up the leases: OwnFiles reports it and retries. */
  private async rewriteSubnetEnv(): Promise<void> {
    await this.writeSubnetEnv().catch(() => {});
  }

  /** Installs the firewall rules for the tunnel's networks; the firewall logs its own failures. */
  applyRules(
    { plan: { family, network }, own }: FamilyTunnel,
    previous?: Partial<PodSubnets>,
  ): Promise<void> {
    const { network: before, subnet } = previous ?? this.parts.plan.previous[family] ?? {};
    return this.parts.firewall.apply({
      family,
      network,
      subnet: own.subnet,
      previous: before && subnet && { network: before, subnet },
    });
  }

  /** Gives up the privileges that only the set-up needed. */
  async reducePrivileges(): Promise<void> {
    const { plan, options, source, firewall, privileges } = this.parts;
    privileges.reduce({
      port: plan.netConf.backend.port,
      fastPath: this.parts.tunnels.some(({ fastPath }) => fastPath.mayBeUsed),
      legacyIptables: await firewall.usesLegacyIptables(),
      readFiles: source.files,
      writtenDirectories: [options.runDir, dirname(options.subnetFile)],
    });
  }

  /** Follows later sets of leases. @throws UserError if a device cannot follow */
  async followLeases(sets: LeaseSets): Promise<void> {
    const { tunnels, shutdown } = this.parts;
    let moved = false;
    for (const tunnel of tunnels) {
      const { family, network } = tunnel.plan;
      const set = sets[family];
      if (set === undefined) continue;
      const { subnet } = tunnel.own;
      await tunnel.update(set);
      if (formatCidr(tunnel.own.subnet) === formatCidr(subnet)) continue;
      moved = true;
      // Leases do not wait for a lock of the firewall.
      void this.applyRules(tunnel, { network, subnet });
    }
    if (moved && !shutdown.requested) {
      await this.rewriteSubnetEnv();
      void this.watch?.checkNow();
    }
    this.rejected = null;
    this.deliveredAt = performance.now();
  }

  /** Follows the underlay from now on. */
  followUnderlay(tracker: UnderlayTracker): UnderlayFollower {
    const { plan, tunnels, source } = this.parts;
    this.tracker = tracker;
    return new UnderlayFollower({
      tracker,
      netConf: plan.netConf,
      tunnels,
      published: plan.families.map(({ address }) => address.publicIp),
      source,
      onPodMtu: () => this.rewriteSubnetEnv(),
      onRefused: (error) => this.rejectLeases(error),
    });
  }

  /** Sends the dataplanes to a new Weft process at the Unix socket `path`. A later takeover `id` replaces it. @throws UserError */
  handOver(path: string, id: string): void {
    const { tunnels, files, manager } = this.parts;
    const pausables = [files, ...(this.monitor === undefined ? [] : [this.monitor])];
    const next = new HandingOver(id, tunnels, pausables, manager);
    // If it throws, the end of an earlier takeover is still awaited.
    next.begin(path);
    this.handingOver?.end();
    this.handingOver = next;
  }

  /** Starts a capture for a client, one at a time. @throws UserError */
  async startCapture(request: CaptureRequest, socket: Socket): Promise<void> {
    const { tunnels, source, shutdown } = this.parts;
    if (!this.isReady || shutdown.requested)
      throw new UserError(`Weft is ${this.isReady ? 'stopping' : 'still starting'}; try again`);
    if (this.startsCapture || this.capture !== undefined)
      throw new UserError(
        'another weft capture runs, and one runs at a time; end it with Ctrl-C and try again',
      );
    this.startsCapture = true;
    try {
      const capture = await CaptureSession.start(request, tunnels, source, socket);
      this.capture = capture;
      const stop = (): void => void capture.end('Weft stops');
      shutdown.signal.addEventListener('abort', stop);
      void capture.ended.then(() => {
        shutdown.signal.removeEventListener('abort', stop);
        this.capture = undefined;
      });
    } finally {
      this.startsCapture = false;
    }
  }

  /** Ends a capture before another process takes over. */
  async endCapture(): Promise<void> {
    await this.capture?.end('another Weft process takes over; start the capture again');
  }

  rejectLeases(error: Error): void {
    this.rejected = error.message;
    warn(`leases rejected, the last valid ones stay in use: ${error.message}`);
  }

  /** What keeps packets from passing, as far as the last checks know. */
  get obstacles(): Obstacle[] {
    return [...this.parts.firewall.obstacles, ...(this.watch?.obstacles ?? [])];
  }

  /** Runs the obstacle checks, and collects what `weft doctor` needs to know. */
  async examine(): Promise<Examined> {
    await this.watch?.checkNow(CHECK_MS);
    const { plan, options, tunnels } = this.parts;
    const { backend } = plan.netConf;
    const [first] = tunnels;
    const { level, fastPath } = first as FamilyTunnel;
    const { on, reason } = fastPath.status;
    return {
      facts: {
        backend: backend.type,
        vni: backend.type === 'vxlan' ? backend.vni : null,
        subnetFile: options.subnetFile,
        podMtu: lowestMtu(tunnels.map((tunnel) => tunnel.plan)),
        tls: usesTls(options),
        level: { name: level, reason: on ? null : reason },
        families: tunnels.map((tunnel) => familyView(tunnel.plan, tunnel.own, tunnel.peers.leases)),
      },
      notReady: this.ready ? this.notReady : STARTING,
      refusedLeases: this.rejected,
      obstacles: this.obstacles,
    };
  }

  /** Collects what `weft status` shows. */
  async status(): Promise<Status> {
    const { plan, options, source, firewall, tunnels, files, privileges } = this.parts;
    const { backend } = plan.netConf;
    const [first, second] = await Promise.all(
      tunnels.map((tunnel) => collectFamily(tunnel, options.offload)),
    );
    const { device, underlay, lease, offload, peerCheck, peers, repairs, ...rest } = first;
    const { refused, ageSeconds } = this.leases;
    return {
      version: version(),
      pid: process.pid,
      uptimeSeconds: Math.floor(process.uptime()),
      notReady: this.ready ? this.notReady : STARTING,
      backend: {
        type: backend.type,
        ...(backend.type === 'vxlan' && { vni: backend.vni }),
        port: backend.port,
      },
      device,
      underlay,
      lease,
      leaseSource: {
        name: source.name,
        refused,
        trouble: source.notReady,
        ageSeconds: Math.floor(ageSeconds),
      },
      offload,
      workers: options.workers,
      privileges: privileges.status(),
      capture: this.capture?.status ?? null,
      obstacles: this.obstacles.map(({ message }) => message),
      peerCheck,
      peers,
      repairs: { ...repairs, ...(firewall.repairs > 0 && { rules: firewall.repairs }), ...files.repairs },
      ...rest,
      ...(second && { ipv6: second }),
    };
  }
}
