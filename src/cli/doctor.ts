/** `weft doctor`: reports whether `weft run` would start on this node, and if not, what to do. It changes nothing. */

import { PLAIN_UDP } from '../control/config/net-conf.js';
import { rehearse } from '../control/doctor.js';
import { ask } from '../control/ipc/client.js';
import { findRunningWeft } from '../control/ipc/running.js';
import type { Cluster, LeaseSource } from '../control/leases/source.js';
import { sourceFor } from '../control/leases/source-for.js';
import type { Status } from '../control/node/status.js';
import type { RunOptions } from '../control/options.js';
import { checkPrivileges, checkTun } from '../control/preflight.js';
import { printable } from '../control/support/printable.js';
import { UserError } from '../control/support/user-error.js';

/** Time limit for the lease source. */
const SOURCE_TIMEOUT_MS = 10_000;

function print(line: string): void {
  process.stdout.write(`${printable(line)}\n`);
}

/** Prints the result of a check. Returns whether it passed. @throws any error but a UserError */
async function report(check: () => Promise<string> | string): Promise<boolean> {
  try {
    print(`ok   ${await check()}`);
    return true;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    print(`no   ${error.message}`);
    return false;
  }
}

/** Prints what does not keep Weft from starting, but may keep packets from passing. */
function printWarnings(warnings: readonly string[]): void {
  for (const warning of warnings) print(`warn ${warning}`);
}

/** Prints a line for each check. The platform is already checked. @throws UserError when a check fails */
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
  const running = await findRunningWeft(runDir);
  if (running !== undefined) {
    const { runDir: dir } = running;
    const which = running.pid === undefined ? '' : `pid ${running.pid}, `;
    await report(
      () => `Weft is running already (${which}--run-dir ${dir}); see weft status --run-dir ${dir}`,
    );
    printWarnings(await warningsOf(dir));
    return;
  }
  const source = await sourceFor(options.source);
  const ready = await diagnoseSource(options, source).finally(() => source.close());
  if (!privileged || !tun || !ready)
    throw new UserError(
      'weft run would not become ready here; each line above that begins with "no" states the reason and the remedy',
    );
}

/** Returns what the running Weft reports: why it is not ready, and the obstacles. */
async function warningsOf(runDir: string): Promise<readonly string[]> {
  const status = (await ask(runDir, { command: 'status', check: true }).catch(() => ({}))) as Partial<Status>;
  const { notReady = 'it does not answer', obstacles = [] } = status;
  return [...(notReady === null ? [] : [`Weft is not ready: ${notReady}`]), ...obstacles];
}

async function diagnoseSource(options: RunOptions, source: LeaseSource): Promise<boolean> {
  const signal = AbortSignal.timeout(SOURCE_TIMEOUT_MS);
  let cluster: Cluster | undefined;
  let failure = '';
  let found: readonly string[] = [];
  let offload: string | undefined;
  const ready = await report(async () => {
    try {
      cluster = await source.open(signal);
      const { summary, warnings, fastPath } = await rehearse(options, source, cluster, signal);
      found = warnings;
      offload = fastPath;
      return summary;
    } catch (error) {
      failure = (error as Error).message;
      if (!signal.aborted) throw error;
      throw new UserError(
        `${source.name}: ${source.notReady ?? `no answer within ${SOURCE_TIMEOUT_MS / 1000} s`}`,
      );
    }
  });
  if (offload !== undefined) print(`ok   ${offload}`);
  printWarnings(found);
  // The udp backend has no IPv6.
  if (!ready && cluster?.netConf.backend.type === 'vxlan' && cluster.netConf.networks.ipv6 === undefined) {
    const instead = { ...cluster, netConf: { ...cluster.netConf, backend: PLAIN_UDP } };
    const { origin } = cluster.netConf;
    const attempt = await rehearse(options, source, instead, signal).catch(
      (error: unknown) => error as Error,
    );
    if (!(attempt instanceof Error))
      await report(() => `${attempt.summary} would start: set "Type": "udp" in ${origin} of every node`);
    // The same reason twice tells nothing.
    else if (attempt.message !== failure)
      await report(() => {
        if (!(attempt instanceof UserError)) throw attempt;
        throw new UserError(`backend udp would not start either: ${attempt.message}`);
      });
  }
  return ready;
}
