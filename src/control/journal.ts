/** What a running weft leaves in its run directory so that `weft cleanup` knows what was made, also after a kill -9. */

import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface DeviceRecord {
  name: string;
  /** Its interface index: a device of this name with another one is someone else's. */
  index: number | undefined;
}

export interface RunState {
  pid: number;
  devices: DeviceRecord[];
  subnetFile: string;
  /** Routes that do not go with the device, as `ip route` takes them. */
  routes: string[];
}

function statePath(runDir: string): string {
  return join(runDir, 'state.json');
}

export async function writeRunState(runDir: string, state: RunState): Promise<void> {
  await writeFile(statePath(runDir), `${JSON.stringify(state)}\n`, { mode: 0o600 });
}

/** The state, or undefined when there is none that can be read. */
export async function readRunState(runDir: string): Promise<RunState | undefined> {
  try {
    return JSON.parse(await readFile(statePath(runDir), 'utf8')) as RunState;
  } catch {
    return undefined;
  }
}

export async function removeRunState(runDir: string): Promise<void> {
  await rm(statePath(runDir), { force: true });
}
