/** `weft run`: the start, step by step, and the shutdown in reverse order. */

import { rmdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { SpareWorker } from '../dataplane/dataplane.js';
import { keepHeapSmall, releaseGarbage, tuneHeap } from '../sys/heap.js';
import { releaseFilePages } from '../sys/pages.js';
import { valueIn } from './addresses/family.js';
import { Endpoints } from './endpoints.js';
import { demandFastPath, fastPathObstacle, isSwitchedOff } from './fast-path-obstacle.js';
import { Firewall } from './firewall/firewall.js';
import { refuseMissing } from './firewall/locations.js';
import { Journal, readJournal } from './journal.js';
import { ipRun } from './kernel/ip.js';
import { readLinks } from './kernel/links.js';
import { sourceFor } from './leases/source-for.js';
import { storedMacsFile } from './leases/stored-macs.js';
import { warnOfMemoryLimit } from './memory-limit.js';
import { DriftMonitor } from './node/drift-monitor.js';
import type { FamilyTunnel, TunnelContext } from './node/family-tunnel.js';
import { removeLeftFastPath } from './node/fast-path.js';
import { OwnFiles } from './node/own-files.js';
import { STARTING } from './node/status.js';
import { openTunnel, planPresent } from './on-underlay.js';
import { openDataplane } from './open-dataplane.js';
import type { RunOptions } from './options.js';
import { firewallOptions, logPlan, type Plan, underlayTracker } from './plan.js';
import { Privileges } from './privileges.js';
import { answer, startingStatus } from './requests.js';
import { NOT_READY, Service } from './service.js';
import { ServiceManager } from './service-manager.js';
import { Shutdown } from './shutdown.js';
import { info, warn } from './support/log.js';
import { makeDirectory } from './support/make-directory.js';
import { Teardown } from './support/teardown.js';
import { UserError } from './support/user-error.js';
import { Predecessor } from './takeover/predecessor.js';
import type { UnderlayTracker } from './underlay/tracker.js';

/** The node becomes ready after this time even if its firewall rules wait for a lock of another process. */
const RULES_MS = 1000;
/**
 * The node becomes ready after this time even if tens of thousands of peers are not all set up. flannel does not wait for
 * any. More than ten thousand peers take so long.
 */
const PEERS_MS = 10_000;
/** The probe of the firewall waits so long for the set-up of devices and peers; ten thousand peers take seconds. */
const SET_UP_MS = 500;
/** How long what was read at the beginning of a start counts as the present state. */
const UP_TO_DATE_MS = 1000;

/**
 * Runs until SIGTERM, SIGINT, `weft cleanup` or a successor. @throws UserError, also for a revoked lease. A failed start
 * leaves nothing new behind.
 */
export async function runDaemon(options: RunOptions): Promise<void> {
  keepHeapSmall();
  warnOfMemoryLimit();
  const manager = new ServiceManager(process.env.NOTIFY_SOCKET);
  const shutdown = Shutdown.ofProcess(() => manager.stopping());
  const teardown = new Teardown();
  try {
    await shutdown.follow(runUntilShutdown(options, shutdown, teardown, manager));
  } catch (error) {
    await teardown.run();
    shutdown.finish(1);
    throw error;
  }
  await teardown.run();
  shutdown.finish(0);
  info('Exiting cleanly...');
}

/** Starts, and waits for the shutdown. `teardown` gets what is to be undone. */
async function runUntilShutdown(
  options: RunOptions,
  shutdown: Shutdown,
  teardown: Teardown,
  manager: ServiceManager,
): Promise<void> {
  let service: Service | undefined;
  try {
    const privileges = new Privileges();
    privileges.share();
    // The longest parts of a start run meanwhile: a forwarding thread begins, and `ip` reads the links.
    const spare = new SpareWorker();
    teardown.defer('the spare thread', () => spare.discard());
    const links = recent(readLinks());
    const predecessor = options.takeover ? await Predecessor.find(options.runDir) : undefined;

    // 1. The lease source, and what reports this start: health endpoints and control socket.
    const source = await sourceFor(options.source);
    teardown.defer('the lease source', () => source.close());
    // A failed start leaves no directory behind; `rmdir` fails where there are files.
    const created = await makeDirectory(options.runDir).catch(() => undefined);
    if (created !== undefined)
      teardown.defer('the run directory', () => rmdir(options.runDir).catch(() => {}));
    let tracker: UnderlayTracker | undefined;
    const waiting = (): string | null => tracker?.notReady ?? source.notReady;
    const files = new OwnFiles();
    const endpoints = new Endpoints(options, files, {
      notReady: () => (service === undefined ? (waiting() ?? NOT_READY) : service.notReady),
      service: () => service,
      answer: (request) => answer(request, service ?? startingStatus(waiting() ?? STARTING), shutdown),
      capture: async (request, socket) => {
        if (service === undefined) throw new UserError('Weft is still starting; try again');
        await service.startCapture(request, socket);
      },
    });
    teardown.defer('the control socket', () => endpoints.closeControl());
    teardown.defer('weft cleanup', () => shutdown.markDrained());
    teardown.defer('the health endpoints', () => endpoints.closeHealth());
    teardown.defer('the checks of files', () => files.close());
    // The old process has them until it retires.
    if (predecessor === undefined) await endpoints.open();
    teardown.defer('the takeover', () => predecessor?.giveBack());

    // 2. Weft reads and checks everything before it changes anything. It waits for leases and underlay.
    const cluster = await source.open(shutdown.signal);
    tracker = underlayTracker(options, cluster);
    const earlier = await readJournal(options.runDir);
    const handovers = (await predecessor?.receive()) ?? new Map();
    const before = { handovers, recorded: earlier?.devices ?? [] };
    const planning = planPresent(options, cluster, tracker, before, shutdown.signal, links());
    const rules = firewallOptions(options, cluster.netConf);
    let probing: Promise<Firewall> | undefined;
    const probe = (): Promise<Firewall> => {
      probing ??= Firewall.open(rules);
      return probing;
    };
    const plan = await planning;
    demandFastPath(options.offload, plan.families);
    const attaches = plan.families.some(({ origin }) => origin !== 'create');
    // Probing runs a dozen commands. After an earlier run packets need not wait for it: the rules are in place. Packets of a
    // new device do not wait either, as with flanneld, which writes its rules after the device. A running Weft forwards.
    if (predecessor !== undefined || (!attaches && rules.mode === 'nftables')) await probe();
    else if (!attaches) await refuseMissing(rules);

    // 3. This node's lease, published in a cluster.
    const sets = await source.acquire(plan.request, shutdown.signal);

    // 4. UDP sockets and devices. Those of an earlier run are used if they suit.
    await removeReplaced(plan);
    const journal = new Journal(options.runDir, options.subnetFile, earlier?.routes);
    files.keep('runDir', journal.file);
    files.keep('runDir', await storedMacsFile(options.runDir));
    const context: TunnelContext = {
      openDataplane: (present, own) => openDataplane(present, own, plan.links, options, spare),
      journal,
      fastPathObstacle: (present) => fastPathObstacle(options.offload, present),
      fastPathOff: isSwitchedOff(options.offload),
      blackhole: options.rules.blackholeRoute,
      onFailure: (error) => shutdown.fail(error),
    };
    const tunnels: FamilyTunnel[] = [];
    for (const family of plan.families) {
      const set = valueIn(sets, family.family);
      const tunnel = await openTunnel(family, set, context, tracker, shutdown.signal);
      predecessor?.taken(family.origin);
      teardown.defer(`the dataplane of ${family.backend.device}`, () => tunnel.close());
      tunnels.push(tunnel);
    }
    logPlan(plan);
    if (!tunnels.some(({ fastPath }) => fastPath.mayBeUsed))
      await removeLeftFastPath(plan.links, options.attach);
    // A failed start leaves nothing new behind. Otherwise everything stays for the next start, as with flanneld.
    teardown.defer('the routes outside the devices', () =>
      attaches || service?.isReady ? undefined : journal.removeRoutes(),
    );
    teardown.defer('the running changes', async () => {
      await Promise.all(tunnels.map((tunnel) => tunnel.stop()));
    });

    // 5. Forwarding threads. Packets of a device that an earlier run left pass from here on.
    tuneHeap();
    const forwarding = Promise.all(tunnels.map((tunnel) => tunnel.startForwarding()));
    forwarding.catch(() => {});
    if (attaches) await forwarding;
    // A thread needs time to start: the set-up of a new device runs meanwhile.
    const devices = tunnels.map((tunnel) => tunnel.setUp());
    const settingUp: SettingUp = {
      devices: Promise.all([forwarding, ...devices]),
      peers: Promise.all(tunnels.map((tunnel, index) => devices[index]?.then(() => tunnel.setUpPeers()))),
    };
    for (const part of Object.values(settingUp)) part.catch(() => {});
    // The first packets need the processor more than the probe does.
    await Promise.race([settingUp.peers, shutdown.wait, delay(SET_UP_MS, undefined, { ref: false })]);
    if (shutdown.requested) return;
    const firewall = await probe();
    for (const line of [...firewall.detours, ...firewall.limitations]) warn(line);
    teardown.defer('the firewall', () => firewall.close());
    service = new Service({
      options,
      plan,
      source,
      firewall,
      tunnels,
      journal,
      files,
      shutdown,
      privileges,
      manager,
    });

    // 6. Devices, peers, firewall, subnet.env. A shutdown does not wait until ten thousand peers are set up.
    await Promise.race([bringUp(service, settingUp, predecessor, endpoints), shutdown.wait]);

    // 7. The underlay is followed, and drift is repaired.
    if (!shutdown.requested) {
      const monitor = new DriftMonitor(tunnels, service.followUnderlay(tracker));
      teardown.defer('the drift monitor', () => monitor.close());
      service.monitor = monitor;
      // Loaded now, because packets pass already.
      const { watchObstacles } = await import('./obstacles/running.js');
      const watch = watchObstacles(firewall, tunnels);
      teardown.defer('the obstacle checks', () => watch.close());
      service.watch = watch;
      // Loading and the first checks need memory that no later one needs.
      void watch.first.then(() => {
        releaseGarbage();
        releaseFilePages();
      });
    }
    await shutdown.wait;
  } catch (error) {
    // A signal during start-up aborts the wait for the lease source; that error is expected.
    if (service !== undefined || !shutdown.requested) throw error;
  }
}

/** Returns a function that returns the promise as long as its result is up to date. */
function recent<T>(reading: Promise<T>): () => Promise<T> | undefined {
  const startedAt = performance.now();
  reading.catch(() => {});
  return () => (performance.now() - startedAt < UP_TO_DATE_MS ? reading : undefined);
}

/**
 * Deletes the kernel's vxlan devices that --adopt replaces, and devices of an earlier run that this one cannot use.
 * @throws UserError naming the command that failed
 */
async function removeReplaced({ families, obsolete }: Plan): Promise<void> {
  for (const name of obsolete) {
    info(`${name}: removing the device of an earlier run, which this configuration does not use`);
    await ipRun([`link delete dev ${name}`]);
  }
  for (const { adopted } of families) {
    if (adopted === undefined) continue;
    info(`${adopted.name}: replacing the kernel's vxlan device and keeping its MAC ${adopted.mac}`);
    await ipRun([`link delete ${adopted.name}`]);
  }
}

/** The ends of what runs at the same time; those of the peers come last. */
interface SettingUp {
  devices: Promise<unknown>;
  peers: Promise<unknown>;
}

/** Brings the node from devices and peers that are being set up to ready, unless the shutdown is requested meanwhile. */
async function bringUp(
  service: Service,
  { devices, peers }: SettingUp,
  predecessor: Predecessor | undefined,
  endpoints: Endpoints,
): Promise<void> {
  const { plan, source, firewall, tunnels, journal, shutdown, manager } = service.parts;
  await devices;
  await Promise.race([peers, delay(PEERS_MS, undefined, { ref: false })]);
  if (predecessor !== undefined) {
    // Before the rest: while both processes forward, packets of a flow may overtake each other.
    await predecessor.retire();
    await endpoints.open('successor');
  }
  const late = tunnels.some(({ peers }) => peers.isApplying);
  const finished = peers.then(async () => {
    await journal.removeEarlierRoutes();
    if (late && !shutdown.requested) info('all peers are set up');
  });
  if (late) {
    warn(`the peers are not set up after ${PEERS_MS / 1000} s; the node becomes ready without all of them`);
    finished.catch((error) => shutdown.fail(error));
  } else {
    await finished;
  }
  // Readiness does not wait longer: rules of an earlier run are still there, and no new pod starts before subnet.env exists.
  const rules = Promise.all(tunnels.map((tunnel) => service.applyRules(tunnel)));
  await Promise.race([rules, delay(RULES_MS, undefined, { ref: false })]);
  if (shutdown.requested) return;
  // The first rules may load modules. The commands that keep running start later, without these privileges.
  await service.reducePrivileges();
  firewall.watch();
  await service.writeSubnetEnv();
  for (const tunnel of tunnels) tunnel.keepDevice();
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
  manager.ready();
  releaseFilePages();
}
