/** The clock: with a wrong time every certificate is invalid, and the leases of the cluster cannot be read. */

import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TIME_ERROR, TIMEX_SIZE } from '../../sys/constants.js';
import { adjtimex } from '../../sys/ffi.js';
import { type Finding, problem } from './finding.js';

/** systemd-timesyncd creates it once it has the time. */
const SYNCHRONISED = '/run/systemd/timesync/synchronized';
const DAY_MS = 86_400_000;
const FIX = 'timedatectl set-ntp true';

export interface Clock {
  now: number;
  /** When this version of Weft was built. */
  built: number;
  synchronised: boolean;
}

export function readClock(): Clock {
  const built = statSync(fileURLToPath(import.meta.url), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return { now: Date.now(), built, synchronised: existsSync(SYNCHRONISED) || isDisciplined() };
}

/** Returns whether a program keeps the kernel's clock in time (adjtimex(2)). */
function isDisciplined(): boolean {
  return adjtimex(new Uint8Array(TIMEX_SIZE)) !== TIME_ERROR;
}

/** `tls`: whether the lease source uses TLS; without it the time does not matter. */
export function checkClock({ now, built, synchronised }: Clock, tls: boolean): Finding[] {
  const date = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  if (now < built - DAY_MS) {
    const what = `the clock says ${date(now)}, and this Weft was built on ${date(built)}`;
    const why = 'TLS refuses certificates that are not valid yet: Kubernetes and etcd cannot be reached.';
    return [problem('clock-wrong', tls ? 'error' : 'warning', what, why, FIX)];
  }
  if (synchronised || !tls) return [];
  const why = 'TLS refuses certificates outside their time: leases may be out of reach after a restart.';
  return [problem('clock-unsynchronised', 'warning', 'no program keeps the clock in time', why, FIX)];
}
