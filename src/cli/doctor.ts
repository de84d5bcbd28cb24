/** `weft doctor`: whether `weft run` would run on this node, and if not, what to do next. It changes nothing. */

import { PLAIN_UDP } from '../control/config/net-conf.js';
import { runningPid } from '../control/ipc/client.js';
import type { Cluster, LeaseSource } from '../control/leases/source.js';
import { sourceFor } from '../control/leases/source-for.js';
import type { RunOptions } from '../control/options.js';
import { rehearse } from '../control/plan.js';
import { checkPrivileges, checkTun } from '../control/preflight.js';
import { UserError } from '../control/support/user-error.js';

/** How long a lease source may take to answer. */
const SOURCE_TIMEOUT_MS = 10_000;

/** Prints a line and says whether it went well. @throws what is no UserError */
async function report(check: () => Promise<string> | string): Promise<boolean> {
  try {
    process.stdout.write(`ok   ${await check()}\n`);
    return true;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    process.stdout.write(`no   ${error.message}\n`);
    return false;
  }
}

/** The platform has been checked. @throws UserError when weft cannot run here */
export async function diagnose(options: RunOptions): Promise<void> {
  const { runDir } = options;
  await report(() => `platform: Linux ${process.arch}`);
  const privileged = await report(async () => {
    await checkPrivileges();
    return 'privileges: CAP_NET_ADMIN';
  });
  const tun = await report(async () => {
    await checkTun();
    return 'tun driver: /dev/net/tun opens';
  });
  if ((await runningPid(runDir)) !== undefined) {
    await report(() => `a weft runs here already (--run-dir ${runDir}): weft status`);
    return;
  }
  const source = await sourceFor(options.source);
  const ready = await diagnoseSource(options, source).finally(() => source.close());
  if (!privileged || !tun || !ready)
    throw new UserError('cannot run here; every line above that begins with "no" says what to do');
}

async function diagnoseSource(options: RunOptions, source: LeaseSource): Promise<boolean> {
  const signal = AbortSignal.timeout(SOURCE_TIMEOUT_MS);
  let cluster: Cluster | undefined;
  let obstacle = '';
  const ready = await report(async () => {
    try {
      cluster = await source.open(signal);
      return await rehearse(options, source, cluster, signal);
    } catch (error) {
      obstacle = (error as Error).message;
      if (!signal.aborted) throw error;
      throw new UserError(
        `${source.name}: ${source.notReady ?? `no answer within ${SOURCE_TIMEOUT_MS / 1000} s`}`,
      );
    }
  });
  // udp has no IPv6.
  if (!ready && cluster?.netConf.backend.type === 'vxlan' && cluster.netConf.networks.ipv6 === undefined) {
    const instead = { ...cluster, netConf: { ...cluster.netConf, backend: PLAIN_UDP } };
    await rehearseUdp(options, source, instead, signal, obstacle);
  }
  return ready;
}

/** Where vxlan is configured and cannot run: whether udp would. What is in the way of both is said in full once. */
async function rehearseUdp(
  options: RunOptions,
  source: LeaseSource,
  cluster: Cluster,
  signal: AbortSignal,
  obstacle: string,
): Promise<void> {
  try {
    const found = await rehearse(options, source, cluster, signal);
    await report(() => `${found} would run: "Type": "udp" in ${cluster.netConf.origin} of every node`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { message } = error;
    const why = message === obstacle ? 'the same is in its way' : message;
    await report(() => {
      throw new UserError(`backend udp would not run either: ${why}`);
    });
  }
}
