/** Finds a Weft process that runs on this node: by its control socket, or by its device if its files are gone. */

import { alreadyRuns, findWeftProcess } from '../kernel/tun-holders.js';
import { UserError } from '../support/user-error.js';
import { listeningOn } from './client.js';

export interface RunningWeft {
  /** Undefined if it does not answer and cannot be inspected. */
  pid: number | undefined;
  runDir: string;
}

/** Finds the Weft process of this run directory, or else the one that holds an overlay device in this network namespace. */
export async function findRunningWeft(runDir: string): Promise<RunningWeft | undefined> {
  const listening = await listeningOn(runDir);
  if (listening?.pid !== undefined) return { pid: listening.pid, runDir };
  const holder = findWeftProcess();
  return listening === undefined ? holder : { pid: holder?.pid, runDir };
}

/** @throws UserError if a Weft process listens on this run directory */
export async function refuseRunning(runDir: string): Promise<void> {
  const running = await listeningOn(runDir);
  if (running === undefined) return;
  throw new UserError(alreadyRuns({ pid: running.pid ?? findWeftProcess()?.pid, runDir }));
}
