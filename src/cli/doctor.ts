/** `weft doctor`: whether `weft run` would run on this node, and if not, what to do next. It changes nothing. */

import { PLAIN_UDP, readNetConf } from '../control/config/net-conf.js';
import { type RunOptions, rehearse } from '../control/daemon.js';
import { refuseRunning } from '../control/ipc/server.js';
import { checkPlatform, checkPrivileges, checkTun } from '../control/preflight.js';
import { UserError } from '../control/user-error.js';

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

/** @throws UserError when weft cannot run here */
export async function diagnose(options: RunOptions): Promise<void> {
  const node = [
    await report(() => {
      checkPlatform(process.platform, process.arch);
      return `platform: Linux ${process.arch}`;
    }),
    await report(async () => {
      await checkPrivileges();
      return 'privileges: CAP_NET_ADMIN';
    }),
    await report(async () => {
      await checkTun();
      return 'tun driver: /dev/net/tun opens';
    }),
  ].every((good) => good);
  const running = await refuseRunning(options.runDir).then(
    () => undefined,
    (error: UserError) => error,
  );
  if (running !== undefined) {
    process.stdout.write(`ok   a weft runs here already (--run-dir ${options.runDir}): weft status\n`);
    return;
  }
  const good = await report(() => rehearse(options));
  if (!good) await suggestUdp(options);
  if (!node || !good)
    throw new UserError('cannot run here; every line above that begins with "no" says what to do');
}

/** Where vxlan is configured and cannot run: whether udp would. */
async function suggestUdp(options: RunOptions): Promise<void> {
  const configured = await readNetConf(options.netConfigPath).catch(() => undefined);
  if (configured?.backend.type !== 'vxlan') return;
  await report(async () => {
    const found = await rehearse(options, PLAIN_UDP).catch((error: unknown) => {
      throw error instanceof UserError
        ? new UserError(`backend udp would not run either: ${error.message}`)
        : error;
    });
    return `${found} would run: "Type": "udp" in ${options.netConfigPath} of every node`;
  });
}
