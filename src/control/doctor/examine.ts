/** `weft doctor`: all checks of this node, with or without a running Weft. It changes nothing. */

import { setTimeout as delay } from 'node:timers/promises';
import { version } from '../../version.js';
import { PLAIN_UDP } from '../config/net-conf.js';
import { isSwitchedOff } from '../fast-path-obstacle.js';
import { ask } from '../ipc/client.js';
import { findRunningWeft, type RunningWeft } from '../ipc/running.js';
import { ipJson } from '../kernel/ip.js';
import { readLinks } from '../kernel/links.js';
import { OVERLAY_DEVICE } from '../kernel/tun-holders.js';
import type { Cluster, LeaseSource } from '../leases/source.js';
import { sourceFor } from '../leases/source-for.js';
import type { RunOptions } from '../options.js';
import { checkPrivileges, checkTun } from '../preflight.js';
import { shellWord } from '../support/printable.js';
import { type FindingHint, UserError } from '../support/user-error.js';
import { checkClock, readClock } from './clock.js';
import { type Examined, type NodeFacts, type NotStarted, usesTls } from './facts.js';
import { type Features, featureLines, readFeatures, userspaceLevel } from './features.js';
import { type Finding, findingOf, findingOfObstacle, inOrder, ok, problem } from './finding.js';
import { checkMtus } from './mtu.js';
import { examinePeers, type PeerReport } from './peers.js';
import { rehearse } from './rehearse.js';
import { checkCni, checkDhcp, checkFlanneld, type DeviceAddress } from './rivals.js';
import { checkRpFilter } from './rp-filter.js';

/** Time limit for the lease source. */
const SOURCE_TIMEOUT_MS = 10_000;
/** A running Weft asks its threads every second. */
const AGAIN_MS = 1500;

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

/** What one part of the examination found. */
interface Part {
  facts: NodeFacts | undefined;
  findings: Finding[];
}

/** Examines this node; the platform is already checked. `probesPeers`: whether the peers are probed too. */
export async function examine(options: RunOptions, probesPeers: boolean): Promise<Report> {
  const system = await checkSystem();
  const hasTun = !system.some(({ id, severity }) => id === 'tun' && severity !== 'ok');
  const features = readFeatures(hasTun);
  const running = await findRunningWeft(options.runDir);
  const threads = userspaceLevel(features, options.offload);
  const { facts, findings } =
    running === undefined ? await checkStart(options, threads) : await askRunning(running);
  const node = await checkNode(options, facts, running !== undefined);
  const probe = probesPeers ? probed(facts, running) : { peers: null, findings: [] };
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
async function attempt(id: string, check: () => Promise<Finding | void>): Promise<Finding | undefined> {
  try {
    return (await check()) ?? undefined;
  } catch (error) {
    return findingOf(error, id);
  }
}

/** Asks the running Weft. */
async function askRunning({ pid, runDir }: RunningWeft): Promise<Part> {
  const who = pid === undefined ? 'unknown pid' : `pid ${pid}`;
  const here = ok('running', `weft runs here, ${who}, --run-dir ${runDir}`);
  let examined: Examined | NotStarted;
  try {
    examined = await askForFacts(runDir);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const why = 'A Weft that does not answer may be stopped, overloaded, or of another version.';
    const fix = `weft status --run-dir ${shellWord(runDir)}`;
    const silent = problem('not-answering', 'error', `weft runs here, ${who}: ${error.message}`, why, fix);
    return { facts: undefined, findings: [silent] };
  }
  const notReadyFinding = (reason: string): Finding =>
    problem(
      'not-ready',
      'error',
      `Weft is not ready: ${reason}`,
      'Pods of this node are not reached, or Weft does not learn of new peers.',
      'journalctl -u weft -n 50',
    );
  if (examined.facts === null)
    return { facts: undefined, findings: [here, notReadyFinding(examined.notReady)] };
  const { facts, notReady, refusedLeases, obstacles } = examined;
  return {
    facts,
    findings: [
      here,
      ...(notReady === null ? [] : [notReadyFinding(notReady)]),
      ...(refusedLeases === null
        ? []
        : [
            problem(
              'leases-refused',
              'error',
              refusedLeases,
              'Weft keeps the last valid leases.',
              'weft status',
            ),
          ]),
      ...obstacles.map(findingOfObstacle),
    ],
  };
}

/** Asks twice a Weft that is not ready: a thread that waits for a processor answers a moment later. */
async function askForFacts(runDir: string): Promise<Examined | NotStarted> {
  const request = async () => (await ask(runDir, { command: 'examine' })) as Examined | NotStarted;
  const answer = await request();
  if (answer.notReady === null) return answer;
  await delay(AGAIN_MS);
  return await request();
}

/** Rehearses the start. */
async function checkStart(options: RunOptions, threads: 'none' | 'gso'): Promise<Part> {
  try {
    const source = await sourceFor(options.source);
    return await checkSource(options, source, threads).finally(() => source.close());
  } catch (error) {
    return { facts: undefined, findings: [findingOf(error)] };
  }
}

async function checkSource(options: RunOptions, source: LeaseSource, threads: 'none' | 'gso'): Promise<Part> {
  const signal = AbortSignal.timeout(SOURCE_TIMEOUT_MS);
  let cluster: Cluster | undefined;
  let failure: Finding | undefined;
  let part: Part = { facts: undefined, findings: [] };
  try {
    cluster = await source.open(signal);
    part = await rehearse(options, source, cluster, signal, threads);
    failure = part.findings.find(({ severity }) => severity === 'error');
  } catch (error) {
    const silent = source.notReady ?? `no answer within ${SOURCE_TIMEOUT_MS / 1000} s`;
    failure = signal.aborted
      ? findingOf(new UserError(`${source.name}: ${silent}`, unreachable(options)))
      : findingOf(error);
    part = { facts: undefined, findings: [failure] };
  }
  // The udp backend has no IPv6.
  if (failure === undefined || cluster?.netConf.backend.type !== 'vxlan') return part;
  if (cluster.netConf.networks.ipv6 !== undefined) return part;
  const instead = { ...cluster, netConf: { ...cluster.netConf, backend: PLAIN_UDP } };
  const udp = await rehearse(options, source, instead, signal, threads).catch(() => undefined);
  if (udp === undefined || udp.findings.some(({ severity }) => severity === 'error')) return part;
  const [start] = udp.findings;
  const { origin } = cluster.netConf;
  const what = `${start?.what} would start: set "Type": "udp" in ${origin} of every node`;
  return { ...part, findings: [...part.findings, ok('backend', what)] };
}

function unreachable({ source }: RunOptions): FindingHint {
  const why = 'Weft waits for its leases at the start; the node has no pod network until then.';
  const fixes = {
    etcd: `etcdctl --endpoints=${source.type === 'etcd' ? source.endpoints.join(',') : ''} endpoint health`,
    kubernetes: 'kubectl get --raw /readyz',
    file: `ls -l ${source.type === 'file' ? shellWord(source.leaseFile) : ''}`,
  };
  return { id: 'source-unreachable', why, fix: fixes[source.type] };
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
): { peers: PeerReport[] | null; findings: Finding[] } {
  if (facts === undefined || running === undefined) {
    const what = `--peers: no Weft ${running === undefined ? 'runs here' : 'answers'}`;
    const why = 'The probes go through the tunnel of the running Weft.';
    return {
      peers: null,
      findings: [problem('peers-not-probed', 'error', what, why, 'systemctl start weft')],
    };
  }
  try {
    const { peers, findings } = examinePeers(facts);
    return { peers, findings: [...findings, ...summaryOf(peers)] };
  } catch (error) {
    return { peers: null, findings: [findingOf(error)] };
  }
}

function summaryOf(peers: readonly PeerReport[]): Finding[] {
  const times = peers.flatMap(({ tunnel: { small } }) => small ?? []).sort((a, b) => a - b);
  if (times.length === 0) return [];
  const range = `${times[0]} to ${times.at(-1)} ms`;
  return [ok('peers', `peers: ${times.length} of ${peers.length} answer through the tunnel, in ${range}`)];
}
