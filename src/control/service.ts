/** A node in service: sets it up, follows the leases, keeps it as it should be, answers the control socket, takes it down. */

import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { PortFailure } from '../dataplane/dataplane.js';
import { releaseFilePages } from '../dataplane/sys/pages.js';
import { version } from '../version.js';
import { deferred } from './deferred.js';
import type { ControlRequest } from './ipc/protocol.js';
import { ControlServer } from './ipc/server.js';
import { type Cidr, formatCidr, formatIpv4 } from './ipv4.js';
import type { LeaseSet } from './leases/lease.js';
import type { LeaseSource } from './leases/source.js';
import { info, warn } from './log.js';
import { BlackholeRoute } from './network/blackhole.js';
import { DeviceGone, refuseExisting } from './network/device.js';
import { deleteRoutes } from './network/ip.js';
import { readLinks } from './network/links.js';
import { Node } from './node/node.js';
import { collectStatus } from './node/status.js';
import { Watchman } from './node/watchman.js';
import type { RunOptions } from './options.js';
import { boundAddress, type Plan } from './plan.js';
import type { Firewall } from './rules/firewall.js';
import { type RunState, readRunState, writeRunState } from './run-state.js';
import type { Tunnel } from './tunnel.js';
import { show, UserError } from './user-error.js';

/** flannel's words for a node whose subnet.env is not written yet. */
export const NOT_READY = 'flanneld is not ready yet';

/** How long the underlay's address may be away. */
const UNDERLAY_GRACE_MS = 2000;

export interface Parts {
  plan: Plan;
  options: RunOptions;
  source: LeaseSource;
  firewall: Firewall;
  /** Open. */
  tunnel: Tunnel;
  /** The first set of leases. */
  first: LeaseSet;
}

function peers(count: number): string {
  return count === 1 ? '1 peer' : `${count} peers`;
}

/** The running weft: from the opened dataplane to the last closed descriptor. */
export class Service {
  private readonly parts: Parts;
  private readonly node: Node;
  /** Resolves when weft is to leave, rejects when it cannot go on. */
  private readonly over = deferred();
  /** Resolves when everything but the control socket is gone. */
  private readonly down = deferred();
  private refused: string | null = null;
  private ready = false;
  private rebuilding = false;
  private readonly blackhole = new BlackholeRoute();
  private index: number | undefined;
  private saved: RunState | undefined;

  constructor(parts: Parts, leaving: AbortSignal) {
    const { plan, options, tunnel, first } = parts;
    const { netConf, backend, mtu } = plan;
    const { subnetFile, rules } = options;
    this.parts = parts;
    this.node = new Node(
      { netConf, backend, mtu, subnetFile, ipMasq: rules.ipMasq },
      tunnel.dataplane,
      first.own,
    );
    if (leaving.aborted) this.over.resolve();
    leaving.addEventListener('abort', this.over.resolve, { once: true });
  }

  /** Why this node is not ready, in flannel's words until it is for the first time; null when it is. */
  get obstacle(): string | null {
    return this.ready ? this.parts.source.trouble : NOT_READY;
  }

  async run(): Promise<void> {
    const { node, over } = this;
    const { options, source, firewall, tunnel } = this.parts;
    const server = await ControlServer.listen(options.runDir, (request) => this.answer(request));
    // Those of a weft that was killed; its device took the others along.
    await deleteRoutes((await readRunState(options.runDir))?.routes ?? []);
    let watchman: Watchman | undefined;
    try {
      await this.startTunnel();
      // Whoever wants it to leave need not wait until ten thousand peers are set up.
      await Promise.race([this.begin(), over.promise]);
      if (!node.stopped) watchman = new Watchman(this);
      await over.promise;
    } finally {
      watchman?.close();
      await source.close();
      await Promise.all([node.stop(), firewall.close()]);
      await deleteRoutes([...node.overlay.looseRoutes(), ...this.blackhole.routes]);
      await tunnel.stop();
      this.down.resolve();
      await server.close();
    }
  }

  private async startTunnel(): Promise<void> {
    const { plan, tunnel } = this.parts;
    const { device } = plan.backend;
    this.index = (await readLinks()).find(({ name }) => name === device)?.index;
    await this.saveState();
    await tunnel.start({
      onFailure: (error) => this.fail(error),
      onStepDown: (code) =>
        warn(`offload: the kernel refuses trains of datagrams (${code}); each is sent alone from now on`),
    });
  }

  private async begin(): Promise<void> {
    const { node } = this;
    const { plan, source, firewall, first } = this.parts;
    await Promise.all([node.start(first.peers), this.applyRules(plan.previous)]);
    if (node.stopped) return;
    firewall.watch();
    await this.holdBlackhole();
    await this.saveState();
    this.ready = true;
    info('flannel is ready');
    info('Running backend.');
    info(
      plan.backend.conf.type === 'udp' ? 'Watching for new subnet leases' : 'watching for new subnet leases',
    );
    source.watch({
      onLeases: (set) => this.follow(set),
      onRefused: (error) => this.refuse(error),
      onRevoked: (reason) => {
        warn(reason);
        this.over.resolve();
      },
    });
    source.markReady();
    info(
      `ready: ${plan.backend.device} is up with ${formatIpv4(node.own.subnet.base)}/32, ${peers(node.peers.length)}`,
    );
    releaseFilePages();
  }

  private async holdBlackhole(): Promise<void> {
    if (this.parts.options.rules.blackholeRoute) await this.blackhole.hold(this.node.own.subnet);
  }

  /** The firewall's rules for this node's subnet, after those of `previous`. */
  private applyRules({ network, subnet }: Plan['previous']): Promise<void> {
    const text = (its: { network: Cidr; subnet: Cidr }) => ({
      network: formatCidr(its.network),
      subnet: formatCidr(its.subnet),
    });
    return this.parts.firewall.apply({
      family: 'ipv4',
      ...text({ network: this.parts.plan.netConf.network, subnet: this.node.own.subnet }),
      previous: network && subnet && text({ network, subnet }),
    });
  }

  /** Notes what `weft cleanup` and the next start have to know of, where it has changed. */
  private async saveState(): Promise<void> {
    const state: RunState = {
      pid: process.pid,
      device: this.parts.plan.backend.device,
      index: this.index,
      subnetFile: this.parts.options.subnetFile,
      routes: [...this.node.overlay.looseRoutes(), ...this.blackhole.routes],
    };
    if (isDeepStrictEqual(state, this.saved)) return;
    await writeRunState(this.parts.options.runDir, state);
    this.saved = state;
  }

  private fail(error: Error): void {
    if (!(error instanceof PortFailure)) this.over.reject(error);
    else if (error.port === 'underlay')
      this.over.reject(
        new UserError(
          `${error.message}: was ${this.parts.plan.underlay.link.name} deleted? Start weft again`,
        ),
      );
    else if (!this.rebuilding) this.rebuild(error).catch(this.over.reject);
  }

  /** Someone has deleted the device: another takes its place, with all its addresses, neighbours and routes. */
  private async rebuild(failure: PortFailure): Promise<void> {
    this.rebuilding = true;
    warn(`${failure.message}; making it anew`);
    const { plan, tunnel } = this.parts;
    await this.node.rebuild(async () => {
      refuseExisting(await readLinks(), plan.backend.device);
      await tunnel.reopen(this.node.own);
      await this.startTunnel();
      return tunnel.dataplane;
    });
    this.rebuilding = false;
  }

  /** Lines of links and addresses begin with the link's index: `2: eth0 ...`. */
  concerns(line: string): boolean {
    const isUnderlay = /^(Deleted )?[0-9]+: /.test(line) && line.includes(this.parts.plan.underlay.link.name);
    return isUnderlay || this.node.overlay.concerns(line);
  }

  async check(): Promise<void> {
    await this.checkUnderlay();
    try {
      await this.node.check();
      await this.holdBlackhole();
      await this.saveState();
    } catch (error) {
      // Its thread says so too, and then it is made anew.
      if (!(error instanceof DeviceGone)) throw error;
    }
  }

  /** The socket is bound to an address: without it no packet comes any more. */
  private async checkUnderlay(): Promise<void> {
    if (await this.hasUnderlay()) return;
    // An address may go and come again, as when DHCP renews it.
    await delay(UNDERLAY_GRACE_MS);
    if (this.node.stopped || (await this.hasUnderlay())) return;
    const { plan } = this.parts;
    const address = formatIpv4(boundAddress(plan, this.node.own));
    this.over.reject(
      new UserError(
        `${address} is no address of ${plan.underlay.link.name} any more, and the tunnel's socket is bound to it; start weft again, it takes the address there is then`,
      ),
    );
  }

  private async hasUnderlay(): Promise<boolean> {
    const { plan } = this.parts;
    const link = (await readLinks()).find(({ name }) => name === plan.underlay.link.name);
    return link?.addresses.includes(boundAddress(plan, this.node.own)) ?? false;
  }

  private async follow(set: LeaseSet): Promise<void> {
    const { network } = this.parts.plan.netConf;
    const { subnet } = this.node.own;
    await this.node.update(set);
    if (formatCidr(this.node.own.subnet) !== formatCidr(subnet)) await this.applyRules({ network, subnet });
    this.refused = null;
    await this.holdBlackhole();
    await this.saveState();
  }

  private refuse(error: Error): void {
    this.refused = error.message;
    warn(`leases refused, the last good ones stay in force: ${error.message}`);
  }

  private async answer(request: ControlRequest): Promise<unknown> {
    const { plan, options, source, firewall, tunnel } = this.parts;
    const { link } = plan.underlay;
    switch (request.command) {
      case 'status':
        return collectStatus({
          version: version(),
          node: this.node,
          dataplane: tunnel.dataplane,
          counters: tunnel.counters(),
          repairs: { ...this.node.repairs, ...(firewall.repairs > 0 && { rules: firewall.repairs }) },
          underlay: { interface: link.name, mtu: link.mtu },
          workers: options.workers,
          peerCheck: plan.peerCheck,
          leaseSource: { name: source.name, refused: this.refused, trouble: source.trouble },
        });
      case 'leave':
        info('weft cleanup: leaving');
        this.over.resolve();
        return this.down.promise;
      default:
        throw new UserError(`unknown request ${show(request)}; is this another version of weft?`);
    }
  }
}
