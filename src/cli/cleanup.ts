/** `weft cleanup`: stops Weft and removes what it created, also after it was killed. */

import { rm, rmdir } from 'node:fs/promises';
import { removeRules } from '../control/firewall/firewall.js';
import { ask, NotRunning } from '../control/ipc/client.js';
import { socketPath } from '../control/ipc/protocol.js';
import { type DeviceRecord, readJournal, removeJournal } from '../control/journal.js';
import { deleteRoutes, ipRun } from '../control/kernel/ip.js';
import { readLinks } from '../control/kernel/links.js';
import { removeStoredMacs } from '../control/leases/stored-macs.js';

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Removes only what the Weft process of this run directory created, not the device of another process. @throws UserError */
export async function cleanUp(runDir: string, subnetFile: string | undefined): Promise<void> {
  const state = await readJournal(runDir);
  let found = await stopRunning(runDir);
  const replacement = found ? undefined : await findReplacement(state?.devices ?? []);
  if (replacement !== undefined) {
    print(`${replacement} now belongs to another process; leaving routes, rules and subnet.env`);
    await forget(runDir);
    return;
  }
  for (const device of state?.devices ?? []) if (await removeDevice(device)) found = true;
  if (state?.routes !== undefined) await deleteRoutes(state.routes);
  const file = subnetFile ?? state?.subnetFile;
  if (file !== undefined && (await removeFile(file))) {
    print(`removed ${file}`);
    found = true;
  }
  // Without a trace of Weft the rules are flanneld's.
  if (found || state !== undefined)
    await removeRules((location) => print(`removed the rules in ${location}`));
  await forget(runDir);
  if (!found) print(`nothing to clean up (run directory ${runDir})`);
}

/** Removes the files of `weft run` in the run directory. */
async function forget(runDir: string): Promise<void> {
  await removeFile(socketPath(runDir));
  await removeJournal(runDir);
  await removeStoredMacs(runDir);
  // Fails unless the directory is empty: other files in it are not Weft's.
  await rmdir(runDir).catch(() => {});
}

/** Returns the name of a device that another process, such as flanneld, created under Weft's name; undefined if none. */
async function findReplacement(devices: readonly DeviceRecord[]): Promise<string | undefined> {
  const links = await readLinks();
  const foreign = links.find(({ name, index }) =>
    devices.some((device) => device.name === name && device.index !== index),
  );
  return foreign?.name;
}

/** Stops the running process, and thereby removes its device with all routes and neighbours. Returns false if none runs. */
async function stopRunning(runDir: string): Promise<boolean> {
  try {
    await ask(runDir, { command: 'leave' });
  } catch (error) {
    if (error instanceof NotRunning) return false;
    throw error;
  }
  print('stopped Weft; its device, routes and neighbours are removed');
  return true;
}

/** Removes a device that outlived its process because another process has it open. Returns whether it existed. */
async function removeDevice({ name, index }: DeviceRecord): Promise<boolean> {
  const link = (await readLinks()).find((candidate) => candidate.name === name);
  if (link === undefined || link.kind !== 'tun' || link.index !== index) return false;
  await ipRun([`link delete ${name}`]);
  print(`removed ${name} with its routes and neighbours`);
  return true;
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
