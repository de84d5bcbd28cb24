/** What keeps `weft run` from starting with these options. */

import { existsSync } from 'node:fs';
import { PLAIN_UDP } from '../config/net-conf.js';
import type { Cluster, LeaseSource } from '../leases/source.js';
import { sourceFor } from '../leases/source-for.js';
import { DEFAULT_ETCD_ENDPOINTS, isDefaultEtcd, type RunOptions } from '../options.js';
import { shellWord } from '../support/printable.js';
import type { Part } from './ask-running.js';
import { checkFiles } from './files.js';
import { type Finding, findingOf, ok, problem } from './finding.js';
import { rehearse } from './rehearse.js';

/** Time limit for the lease source, and for etcd at its default address, which is often a forgotten flag. */
const SOURCE_TIMEOUT_MS = 10_000;
const DEFAULT_ETCD_TIMEOUT_MS = 3000;

/** The settings of the package's unit. */
const UNIT_SETTINGS = '/etc/weft/weft.conf';

/** Rehearses the start. `threads`: the offload level of the forwarding threads. */
export async function checkStart(options: RunOptions, threads: 'none' | 'gso'): Promise<Part> {
  try {
    const source = await sourceFor(options.source);
    const { facts, findings } = await checkSource(options, source, threads).finally(() => source.close());
    const part = { facts, findings: [...findings, ...checkFiles(options)] };
    if (part.findings.some(({ severity }) => severity === 'error')) return part;
    const line = ok('running', 'no weft runs here; the report is about a start with these flags');
    return { ...part, findings: [line, ...part.findings] };
  } catch (error) {
    return { facts: undefined, findings: [findingOf(error)] };
  }
}

async function checkSource(options: RunOptions, source: LeaseSource, threads: 'none' | 'gso'): Promise<Part> {
  const limitMs = isDefaultEtcd(options.source) ? DEFAULT_ETCD_TIMEOUT_MS : SOURCE_TIMEOUT_MS;
  const signal = AbortSignal.timeout(limitMs);
  let cluster: Cluster | undefined;
  let failure: Finding | undefined;
  let part: Part = { facts: undefined, findings: [] };
  try {
    cluster = await source.open(signal);
    part = await rehearse(options, source, cluster, signal, threads);
    failure = part.findings.find(({ severity }) => severity === 'error');
  } catch (error) {
    const silent = source.notReady ?? `no answer within ${limitMs / 1000} s`;
    failure = signal.aborted ? unreachable(options, source.name, silent) : findingOf(error);
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

function unreachable(options: RunOptions, name: string, silence: string): Finding {
  const { source } = options;
  if (isDefaultEtcd(source)) {
    const what = `neither --lease-file nor --kube-subnet-mgr is given, and no etcd answers at ${DEFAULT_ETCD_ENDPOINTS}`;
    const why = 'Without these flags Weft reads its leases from an etcd on this node, as flanneld does.';
    const fix = existsSync(UNIT_SETTINGS)
      ? `systemd-run --quiet --pipe --wait --property=EnvironmentFile=${UNIT_SETTINGS} sh -c 'weft doctor $WEFT_FLAGS'`
      : 'Give weft doctor the flags of weft run, such as --lease-file or --kube-subnet-mgr.';
    return problem('source-unreachable', 'error', what, why, fix);
  }
  const why = 'Weft waits for its leases at the start; the node has no pod network until then.';
  const fixes = {
    etcd: `etcdctl --endpoints=${source.type === 'etcd' ? source.endpoints.join(',') : ''} endpoint health`,
    kubernetes: 'kubectl get --raw /readyz',
    file: `ls -l ${source.type === 'file' ? shellWord(source.leaseFile) : ''}`,
  };
  return problem('source-unreachable', 'error', `${name}: ${silence}`, why, fixes[source.type]);
}
