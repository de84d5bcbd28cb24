/** `weft run`: the start, step by step, and the shutdown in reverse order. */

import { mkdir, rmdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { limitYoungSpace, tuneHeap } from '../sys/heap.js';
import { releaseFilePages } from '../sys/pages.js';
import { valueIn } from './addresses/family.js';
import { Firewall } from './firewall/firewall.js';
import type { HealthServer } from './health.js';
import { refuseRunning } from './ipc/running.js';
import { ControlServer } from './ipc/server.js';
import { Journal, readJournal } from './journal.js';
import { deleteRoutes, ipRun } from './kernel/ip.js';
import { sourceFor } from './leases/source-for.js';
import { storedMacsFile } from './leases/stored-macs.js';
import { DriftMonitor } from './node/drift-monitor.js';
import type { FamilyTunnel, TunnelContext } from './node/family-tunnel.js';
import { OwnFiles } from './node/own-files.js';
import { openTunnel, planPresent } from './on-underlay.js';
import { openDataplane } from './open-dataplane.js';
import type { HealthOptions, RunOptions } from './options.js';
import { firewallOptions, logPlan, type Plan, underlayTracker } from './plan.js';
import { answer, NOT_READY, Service, STARTING, startingStatus } from './service.js';
import { Shutdown } from './shutdown.js';
import { info, warn } from './support/log.js';
import { Teardown } from './support/teardown.js';
import { UserError } from './support/user-error.js';
import type { UnderlayTracker } from './underlay/tracker.js';

/** The node becomes ready after this time even if its firewall rules wait for a lock of another process. */
const RULES_MS = 1000;

/** Runs until SIGTERM, SIGINT or `weft cleanup`. @throws UserError, also for a revoked lease; then nothing is left behind */
export async function runDaemon(options: RunOptions): Promise<void> {
  limitYoungSpace();
  const shutdown = Shutdown.onSignals();
  const teardown = new Teardown();
  let service: Service | undefined;
  try {
    await refuseRunning(options.runDir);

    // 1. The lease source, and what reports this start: health endpoints and control socket.
    const source = await sourceFor(options.source);
    teardown.defer(() => source.close());
    let tracker: UnderlayTracker | undefined;
    const waiting = (): string | null => tracker?.notReady ?? source.notReady;
    const health = await listenHealth(options.health, () =>
      service === undefined ? (waiting() ?? NOT_READY) : service.notReady,
    );
    teardown.defer(() => health?.close());
    // A failed start leaves no directory behind; `rmdir` fails where there are files.
    const created = await mkdir(options.runDir, { recursive: true, mode: 0o755 }).catch(() => undefined);
    if (created !== undefined) teardown.defer(() => rmdir(options.runDir).catch(() => {}));
    const server = await ControlServer.listen(options.runDir, (request) =>
      answer(request, service ?? startingStatus(waiting() ?? STARTING), shutdown),
    );
    teardown.defer(() => server.close());
    teardown.defer(() => shutdown.markDrained());
    const files = new OwnFiles();
    teardown.defer(() => files.close());
    files.keep('runDir', server);

    // 2. Weft reads and checks everything before it changes anything. It waits for leases and underlay.
    const cluster = await source.open(shutdown.signal);
    // The firewall is probed meanwhile: that runs half a dozen commands and takes as long as the plan.
    const probing = Firewall.open(firewallOptions(options, cluster.netConf));
    probing.catch(() => {});
    tracker = underlayTracker(options, cluster);
    const plan = await planPresent(options, cluster, tracker, shutdown.signal);
    const firewall = await probing;
    for (const limitation of firewall.limitations) warn(limitation);

    // 3. This node's lease, published in a cluster.
    const sets = await source.acquire(plan.request, shutdown.signal);

    // 4. UDP sockets and devices. Routes of a killed run did not disappear with its device.
    await deleteRoutes((await readJournal(options.runDir))?.routes ?? []);
    await removeAdopted(plan);
    const journal = new Journal(options.runDir, options.subnetFile);
    files.keep('runDir', journal.file);
    files.keep('runDir', await storedMacsFile(options.runDir));
    const context: TunnelContext = {
      openDataplane: (present, own) => openDataplane(present, own, plan.links, options),
      journal,
      blackhole: options.rules.blackholeRoute,
      onFailure: (error) => shutdown.fail(error),
    };
    const tunnels: FamilyTunnel[] = [];
    for (const family of plan.families) {
      const set = valueIn(sets, family.family);
      const tunnel = await openTunnel(family, set, context, tracker, shutdown.signal);
      teardown.defer(() => tunnel.dataplane.stop());
      tunnels.push(tunnel);
    }
    logPlan(plan);
    teardown.defer(() => journal.removeRoutes());
    teardown.defer(async () => {
      await Promise.all([...tunnels.map((tunnel) => tunnel.stop()), firewall.close()]);
    });
    service = new Service({ options, plan, source, firewall, tunnels, files, shutdown });

    // 5. Forwarding threads.
    tuneHeap();
    await Promise.all(tunnels.map((tunnel) => tunnel.startForwarding()));

    // 6. Devices, peers, firewall, subnet.env. A shutdown does not wait until ten thousand peers are set up.
    await Promise.race([bringUp(service), shutdown.wait]);

    // 7. The underlay is followed, and drift is repaired.
    if (!shutdown.requested) {
      const monitor = new DriftMonitor(tunnels, service.followUnderlay(tracker));
      teardown.defer(() => monitor.close());
      // Loaded now, because packets pass already.
      const { watchObstacles } = await import('./obstacles/running.js');
      const watch = watchObstacles(firewall, tunnels);
      teardown.defer(() => watch.close());
      service.watch = watch;
      // Loading and the first checks need pages that no later one needs.
      void watch.first.then(releaseFilePages);
    }
    await shutdown.wait;
  } catch (error) {
    await teardown.run().catch((later: Error) => warn(later.message));
    // A signal during start-up aborts the wait for the lease source; that error is expected.
    if (service !== undefined || !shutdown.requested) throw error;
  }
  await teardown.run();
  info('Exiting cleanly...');
}

/** Starts the health endpoints if they are enabled. The HTTP server is loaded only then. */
async function listenHealth(
  options: HealthOptions,
  notReady: () => string | null,
): Promise<HealthServer | undefined> {
  if (options.port === 0) return undefined;
  const health = await import('./health.js');
  return await health.listenHealth(options, notReady);
}

/** Deletes the kernel's vxlan devices that --adopt replaces. @throws UserError naming the command that failed */
async function removeAdopted({ families }: Plan): Promise<void> {
  for (const { adopted } of families) {
    if (adopted === undefined) continue;
    info(`${adopted.name}: replacing the kernel's vxlan device and keeping its MAC ${adopted.mac}`);
    await ipRun([`link delete ${adopted.name}`]);
  }
}

/** Brings the node from open devices to ready, unless the shutdown is requested meanwhile. */
async function bringUp(service: Service): Promise<void> {
  const { plan, source, firewall, tunnels, shutdown } = service.parts;
  await Promise.all(tunnels.map((tunnel) => tunnel.setUp()));
  // Readiness does not wait longer: rules of an earlier run are still there, and no new pod starts before subnet.env exists.
  const rules = Promise.all(tunnels.map((tunnel) => service.applyRules(tunnel)));
  await Promise.race([rules, delay(RULES_MS, undefined, { ref: false })]);
  if (shutdown.requested) return;
  firewall.watch();
  await service.writeSubnetEnv();
  service.markReady();
  info('flannel is ready');
  info('Running backend.');
  info(`${plan.netConf.backend.type === 'udp' ? 'Watching' : 'watching'} for new subnet leases`);
  source.watch({
    onLeases: (sets) => service.followLeases(sets),
    onRefused: (error) => service.rejectLeases(error),
    // Exit code 1: a supervisor with Restart=on-failure starts Weft again, which then acquires another lease.
    onRevoked: (reason) => shutdown.fail(new UserError(reason)),
  });
  source.markReady();
  info(`ready: ${tunnels.map((tunnel) => tunnel.summary()).join('; ')}`);
  releaseFilePages();
}
