/** `weft cleanup`: stops Weft and removes what it created, also after it was killed. */

import { constants } from 'node:fs';
import { access, rm, rmdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { attachOptions } from '../control/attach-options.js';
import { removeRules } from '../control/firewall/firewall.js';
import { ask, listeningOn, NotRunning } from '../control/ipc/client.js';
import { socketPath } from '../control/ipc/protocol.js';
import { readJournal, removeJournal } from '../control/journal.js';
import type { DeviceRecord } from '../control/journal-state.js';
import { deleteRoutes, ipRun } from '../control/kernel/ip.js';
import { isLeft } from '../control/kernel/left-devices.js';
import { readLinks } from '../control/kernel/links.js';
import { OVERLAY_DEVICE, type WeftProcess, weftProcesses } from '../control/kernel/tun-holders.js';
import { removeStoredMacs } from '../control/leases/stored-macs.js';
import { removeLeftFastPath } from '../control/node/fast-path.js';
import { isSubnetEnv } from '../control/subnet-env.js';
import { printable, shellWord } from '../control/support/printable.js';
import { UserError } from '../control/support/user-error.js';

/** Time for a running Weft to restore its socket; it checks once a second. */
const RESTORED_MS = 3000;
const POLL_MS = 100;

function print(line: string): void {
  process.stdout.write(`${printable(line)}\n`);
}

/** Removes only what the Weft process of this run directory created, not the device of another process. @throws UserError */
export async function cleanUp(runDir: string, subnetFile: string | undefined): Promise<void> {
  await refuseUnprivileged(runDir);
  await refuseUnreachable(runDir);
  const before = await readJournal(runDir);
  let found = await stopRunning(runDir);
  // A running Weft may just have restored it.
  const state = before ?? (await readJournal(runDir));
  if (!found && state === undefined && subnetFile !== undefined) await refuseForeign(subnetFile);
  const replacement = found ? undefined : await findReplacement(state?.devices ?? []);
  if (replacement !== undefined) {
    print(`${replacement} now belongs to another process; leaving routes, rules and subnet.env`);
    await forget(runDir);
    return;
  }
  if ((state?.devices ?? []).length > 0) {
    if (await removeLeftFastPath(await readLinks(), attachOptions(process.env)))
      print('removed the fast path');
  }
  for (const device of state?.devices ?? []) if (await removeDevice(device)) found = true;
  if (state?.routes !== undefined) await deleteRoutes(state.routes);
  const other = weftProcesses().find((weft) => weft.runDir !== resolve(runDir));
  if (other !== undefined) {
    // Both have the same chains, and perhaps the same subnet file.
    print(
      `Weft of run directory ${other.runDir} (pid ${other.pid}) still runs; leaving rules and subnet.env`,
    );
    await forget(runDir);
    return;
  }
  const file = subnetFile ?? state?.subnetFile;
  if (file !== undefined && (await removeSubnetEnv(file))) found = true;
  // Without a trace of Weft the rules are flanneld's.
  if (found || state !== undefined)
    await removeRules((location) => print(`removed the rules in ${location}`));
  await forget(runDir);
  if (!found) print(`nothing to clean up (run directory ${runDir})`);
  await reportLeft();
}

/** @throws UserError if this user may not change the run directory, whose files say what there is to remove */
async function refuseUnprivileged(runDir: string): Promise<void> {
  try {
    await access(runDir, constants.W_OK | constants.X_OK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES')
      throw new UserError(`--run-dir ${runDir}: permission denied; run this command as root`);
  }
}

/** Removes the files of `weft run` in the run directory. */
async function forget(runDir: string): Promise<void> {
  await removeFile(socketPath(runDir));
  await removeJournal(runDir);
  await removeStoredMacs(runDir);
  // Fails unless the directory is empty: other files in it are not Weft's.
  await rmdir(runDir).catch(() => {});
}

/**
 * Waits until the Weft process that holds a device here listens on this run directory: it restores a deleted socket
 * within a second. @throws UserError if it does not; then nothing is removed
 */
async function refuseUnreachable(runDir: string): Promise<void> {
  const deadline = performance.now() + RESTORED_MS;
  let running = await unreachable(runDir);
  while (running?.runDir === resolve(runDir) && performance.now() < deadline) {
    await delay(POLL_MS);
    running = await unreachable(runDir);
  }
  if (running === undefined) return;
  const { pid } = running;
  throw new UserError(
    running.runDir === resolve(runDir)
      ? `Weft runs here (pid ${pid}) and does not listen on --run-dir ${runDir}; nothing was removed; stop it (kill ${pid}), then run this command again`
      : `Weft runs here (pid ${pid}) with another run directory; nothing was removed; run weft cleanup --run-dir ${shellWord(running.runDir)}`,
  );
}

/**
 * Returns the Weft process that holds a device in this network namespace if none listens on the run directory. If the
 * run directory has a journal of its own, the process of another directory does not matter.
 */
async function unreachable(runDir: string): Promise<WeftProcess | undefined> {
  if ((await listeningOn(runDir)) !== undefined) return undefined;
  const [first, ...others] = weftProcesses();
  const own = [first, ...others].find((weft) => weft?.runDir === resolve(runDir));
  return own ?? ((await readJournal(runDir)) === undefined ? first : undefined);
}

/** Refuses to remove the subnet file of a process that cannot be asked. @throws UserError if an overlay device exists */
async function refuseForeign(subnetFile: string): Promise<void> {
  const device = (await readLinks()).find(({ name }) => OVERLAY_DEVICE.test(name));
  if (device === undefined) return;
  const { name } = device;
  const [owner, remedy] = isLeft(device)
    ? [
        'is left by a Weft whose run directory is lost or another one',
        `name that directory, or remove the device first: ip link delete ${name}`,
      ]
    : [
        'belongs to a process that this command cannot reach',
        'stop that process (flanneld, or Weft in a container) first',
      ];
  throw new UserError(`${name} ${owner}, and ${subnetFile} may be its file; nothing was removed; ${remedy}`);
}

/**
 * Returns the name of a recorded device that another process has now; undefined if none. flanneld created one of this
 * name, or a Weft with another run directory attached to it.
 */
async function findReplacement(devices: readonly DeviceRecord[]): Promise<string | undefined> {
  const links = await readLinks();
  const foreign = links.find(({ name, index, carrier }) =>
    devices.some((device) => device.name === name && (device.index !== index || carrier)),
  );
  return foreign?.name;
}

/** Stops the running process. Returns false if none runs. */
async function stopRunning(runDir: string): Promise<boolean> {
  try {
    await ask(runDir, { command: 'leave' });
  } catch (error) {
    if (error instanceof NotRunning) return false;
    throw error;
  }
  print('stopped Weft');
  return true;
}

/** Removes a device that outlived its process, also after it was renamed. Returns whether it existed. */
async function removeDevice(record: DeviceRecord): Promise<boolean> {
  const link = (await readLinks()).find(({ index }) => index === record.index);
  if (link === undefined || link.kind !== 'tun') return false;
  const { name } = link;
  if (name !== record.name && !isLeft(link)) return false;
  await ipRun([`link delete dev ${name}`]);
  print(`removed ${name} with its routes and neighbours`);
  return true;
}

/** Names the devices that a Weft with another run directory left. */
async function reportLeft(): Promise<void> {
  for (const { name } of (await readLinks()).filter((link) => isLeft(link)))
    print(
      `${name} is left by a Weft with another run directory; remove it: ip link delete ${shellWord(name)}`,
    );
}

/** Removes a subnet.env; the flag or a damaged state.json may name another file. Returns whether it was one. */
async function removeSubnetEnv(path: string): Promise<boolean> {
  const isOne = await isSubnetEnv(path);
  if (isOne === false) print(`${path} is not a subnet.env; leaving it`);
  if (isOne !== true) return false;
  const removed = await removeFile(path);
  if (removed) print(`removed ${path}`);
  return removed;
}

/** Returns whether the file existed. */
async function removeFile(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
