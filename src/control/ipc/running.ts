/** Finds a Weft process that runs on this node: by its control socket, or by its device if its files are gone. */

import { resolve } from 'node:path';
import { alreadyRuns, findWeftProcess, weftProcesses } from '../kernel/tun-holders.js';
import { UserError } from '../support/user-error.js';
import { listeningOn } from './client.js';

export interface RunningWeft {
  /** Undefined if it does not answer and cannot be inspected. */
  pid: number | undefined;
  runDir: string;
  /** It listens and did not answer in time. */
  silent?: true;
}

/** Finds the Weft process of this run directory, or else the one that holds an overlay device in this network namespace. */
export async function findRunningWeft(runDir: string): Promise<RunningWeft | undefined> {
  const listening = await listeningOn(runDir);
  if (listening?.pid !== undefined) return { pid: listening.pid, runDir };
  const holder = findWeftProcess();
  return listening === undefined ? holder : { pid: holder?.pid, runDir, silent: true };
}

/**
 * Refuses a run directory on which a Weft process listens, or will listen again: it restores a deleted directory within
 * a second. `proc` is /proc, or a copy for tests. @throws UserError
 */
export async function refuseRunning(runDir: string, proc = '/proc'): Promise<void> {
  const listening = await listeningOn(runDir);
  const holder = weftProcesses(proc).find((weft) => weft.runDir === resolve(runDir));
  if (listening === undefined && holder === undefined) return;
  throw new UserError(alreadyRuns({ pid: listening?.pid ?? holder?.pid, runDir }));
}
