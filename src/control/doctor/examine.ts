/** `weft doctor`: all checks of this node, with or without a running Weft. It changes nothing. */

import { version } from '../../version.js';
import { isSwitchedOff } from '../fast-path-obstacle.js';
import { isForbidden } from '../ipc/client.js';
import { findRunningWeft, type RunningWeft } from '../ipc/running.js';
import { ipJson } from '../kernel/ip.js';
import { readLinks } from '../kernel/links.js';
import { OVERLAY_DEVICE } from '../kernel/tun-holders.js';
import type { Obstacle } from '../obstacles/obstacle.js';
import type { RunOptions } from '../options.js';
import { checkPrivileges, checkTun } from '../preflight.js';
import { askRunning, type Part } from './ask-running.js';
import { checkStart } from './check-start.js';
import { checkClock, readClock } from './clock.js';
import { type NodeFacts, usesTls } from './facts.js';
import { type Features, featureLines, readFeatures, userspaceLevel } from './features.js';
import { type Finding, findingOf, inOrder, ok, problem } from './finding.js';
import type { FindingId } from './finding-ids.js';
import { checkMtus } from './mtu.js';
import type { PeerReport } from './peer-verdict.js';
import { examinePeers } from './peers.js';
import { checkCni, checkDhcp, checkFlanneld, type DeviceAddress } from './rivals.js';
import { checkRpFilter } from './rp-filter.js';

/** The answer of `weft doctor --json`. Its keys are a contract with scripts: docs/doctor.schema.json. */
export interface Report {
  schema: 1;
  version: string;
  /** Whether there is no error; the exit code is 0 then. */
  healthy: boolean;
  /** The Weft process that runs here; null if none does. */
  running: { pid: number | null; runDir: string } | null;
  /** The offload level that is or would be used, and why it is not the next one. */
  level: { name: string; reason: string | null };
  /** Null on a platform on which Weft does not run. */
  features: Features | null;
  /** Problems, errors first; empty on a healthy node. */
  findings: Finding[];
  /** What was checked and is well. */
  passed: Finding[];
  /** Null without --peers. */
  peers: PeerReport[] | null;
}

/** Examines this node; the platform is already checked. `probesPeers`: whether the peers are probed too. */
export async function examine(options: RunOptions, probesPeers: boolean): Promise<Report> {
  const system = await checkSystem();
  const hasTun = !system.some(({ id, severity }) => id === 'tun' && severity !== 'ok');
  const features = readFeatures(hasTun);
  const running = await findRunningWeft(options.runDir);
  const threads = userspaceLevel(features, options.offload);
  const hidden = running === undefined && (await isForbidden(options.runDir));
  const {
    facts,
    findings,
    obstacles = [],
  } = hidden
    ? forbidden(options.runDir)
    : await (running === undefined ? checkStart(options, threads) : askRunning(running));
  const node = await checkNode(options, facts, running !== undefined);
  const probe = probesPeers && !hidden ? probed(facts, running, obstacles) : { peers: null, findings: [] };
  const all = inOrder([...system, ...findings, ...featureLines(features), ...node, ...probe.findings]);
  const level = facts?.level ?? unplannedLevel(features, threads, options);
  return {
    schema: 1,
    version: version(),
    healthy: !all.some(({ severity }) => severity === 'error'),
    running: running === undefined ? null : { pid: running.pid ?? null, runDir: running.runDir },
    level,
    features,
    findings: all.filter(({ severity }) => severity !== 'ok'),
    passed: all.filter(({ severity }) => severity === 'ok'),
    peers: probe.peers,
  };
}

/** A user may not ask the Weft of a run directory, and not even learn whether there is one. */
function forbidden(runDir: string): Part {
  const what = `user ${process.getuid?.()} may not ask the Weft of --run-dir ${runDir}`;
  const why = 'Whether Weft runs here, and how well, is not known.';
  return { facts: undefined, findings: [problem('capabilities', 'error', what, why, 'sudo weft doctor')] };
}

/** Returns the level that this kernel allows, where there is no plan. */
function unplannedLevel(
  { bpfReason }: Features,
  threads: 'none' | 'gso',
  { offload }: RunOptions,
): Report['level'] {
  const reason = isSwitchedOff(offload) ? `switched off by --offload ${offload}` : bpfReason;
  return reason === null ? { name: 'bpf', reason } : { name: threads, reason };
}

async function checkSystem(): Promise<Finding[]> {
  return [
    ok('platform', `Linux ${process.arch}, Node.js ${process.versions.node}`),
    await attempt('capabilities', () => checkPrivileges()),
    await attempt('tun', async () => {
      await checkTun();
      return ok('tun', 'tun driver: /dev/net/tun opens');
    }),
  ].filter((finding) => finding !== undefined);
}

/** Returns what the check returns, or the finding of its UserError. */
async function attempt(id: FindingId, check: () => Promise<Finding | void>): Promise<Finding | undefined> {
  try {
    return (await check()) ?? undefined;
  } catch (error) {
    return findingOf(error, id);
  }
}

/** The checks of what Weft does not own, beside the obstacles. */
async function checkNode(
  options: RunOptions,
  facts: NodeFacts | undefined,
  running: boolean,
): Promise<Finding[]> {
  const tls = facts?.tls ?? usesTls(options);
  const links = await readLinks().catch(() => []);
  const families = facts?.families ?? [];
  const devices = links.filter(({ name }) => OVERLAY_DEVICE.test(name));
  const addresses = await Promise.all(
    devices.map(async ({ name }) => {
      const shown = await ipJson<{ addr_info?: DeviceAddress[] }>(`-4 address show dev ${name}`).catch(
        () => [],
      );
      const own = families.find(({ device }) => device === name)?.overlayAddress;
      return checkDhcp(
        name,
        own,
        shown.flatMap(({ addr_info: infos }) => infos ?? []),
      );
    }),
  );
  const strict = await Promise.all(families.map((family) => checkRpFilter(family, running)));
  return [
    ...checkFlanneld(options.adopt && !running),
    ...addresses.flat(),
    ...(await checkCni()),
    ...checkClock(readClock(), tls),
    ...strict.flat(),
    ...(facts === undefined ? [] : await checkMtus(facts, links, running)),
  ];
}

/** Probes the peers of the running Weft. */
function probed(
  facts: NodeFacts | undefined,
  running: RunningWeft | undefined,
  obstacles: readonly Obstacle[],
): { peers: PeerReport[] | null; findings: Finding[] } {
  // Another finding says why a running Weft gave no facts, and what to do.
  if (facts === undefined && running !== undefined) return { peers: null, findings: [] };
  if (facts === undefined || running === undefined) {
    const why = 'The probes go through the tunnel of the running Weft.';
    const finding = problem(
      'peers-not-probed',
      'error',
      '--peers: no Weft runs here',
      why,
      'systemctl start weft',
    );
    return { peers: null, findings: [finding] };
  }
  try {
    const { peers, findings } = examinePeers(facts, obstacles);
    return { peers, findings: [...findings, ...summaryOf(peers)] };
  } catch (error) {
    return { peers: null, findings: [findingOf(error)] };
  }
}

function summaryOf(peers: readonly PeerReport[]): Finding[] {
  if (peers.length === 0) return [ok('peers', 'peers: no other node has a lease')];
  const times = peers.flatMap(({ tunnel: { small } }) => small ?? []).sort((a, b) => a - b);
  const [first, last] = [times[0], times.at(-1)];
  if (first === undefined) return [];
  const range = first === last ? `${first} ms` : `${first} to ${last} ms`;
  return [ok('peers', `peers: ${times.length} of ${peers.length} answer through the tunnel, in ${range}`)];
}
