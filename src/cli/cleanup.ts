/** `weft cleanup`: stops a running weft and removes what it made, or what one left that was killed. */

import { rm, rmdir } from 'node:fs/promises';
import { removeRules } from '../control/firewall/firewall.js';
import { ask, NotRunning } from '../control/ipc/client.js';
import { socketPath } from '../control/ipc/protocol.js';
import { type DeviceRecord, readRunState, removeRunState } from '../control/journal.js';
import { deleteRoutes, ipRun } from '../control/kernel/ip.js';
import { readLinks } from '../control/kernel/links.js';

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Removes only what this run directory's weft made: another's device or flannel's own subnet.env stay. @throws UserError */
export async function cleanUp(runDir: string, subnetFile: string | undefined): Promise<void> {
  const state = await readRunState(runDir);
  let found = await stopRunning(runDir);
  const heir = found ? undefined : await heirOf(state?.devices ?? []);
  if (heir !== undefined) {
    say(`${heir} is another's now, and so are routes, rules and subnet.env: they stay`);
    await forget(runDir);
    return;
  }
  for (const device of state?.devices ?? []) if (await removeDevice(device)) found = true;
  if (state?.routes !== undefined) await deleteRoutes(state.routes);
  const file = subnetFile ?? state?.subnetFile;
  if (file !== undefined && (await removeFile(file))) {
    say(`removed ${file}`);
    found = true;
  }
  // Without a trace of weft they are flanneld's.
  if (found || state !== undefined) await removeRules((place) => say(`removed the rules in ${place}`));
  await forget(runDir);
  if (!found) say(`nothing to clean up (run directory ${runDir})`);
}

/** What `weft run` has noted, and where. */
async function forget(runDir: string): Promise<void> {
  await removeFile(socketPath(runDir));
  await removeRunState(runDir);
  // Only when it is empty: it may be anyone's.
  await rmdir(runDir).catch(() => {});
}

/** The name of a device of weft's that someone else has made again, as flanneld does when it takes over. */
async function heirOf(devices: readonly DeviceRecord[]): Promise<string | undefined> {
  const links = await readLinks();
  const theirs = links.find(({ name, index }) =>
    devices.some((device) => device.name === name && device.index !== index),
  );
  return theirs?.name;
}

/** The device goes with the process, and with it every route and neighbour on it. */
async function stopRunning(runDir: string): Promise<boolean> {
  try {
    await ask(runDir, { command: 'leave' });
  } catch (error) {
    if (error instanceof NotRunning) return false;
    throw error;
  }
  say('stopped weft; its device, routes and neighbours are gone');
  return true;
}

/** A device that outlived its weft, as when something else still holds it open. */
async function removeDevice({ name, index }: DeviceRecord): Promise<boolean> {
  const link = (await readLinks()).find((candidate) => candidate.name === name);
  if (link === undefined || link.kind !== 'tun' || link.index !== index) return false;
  await ipRun([`link delete ${name}`]);
  say(`removed ${name} with its routes and neighbours`);
  return true;
}

/** True when the file was there. */
async function removeFile(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
