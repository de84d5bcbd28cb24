/**
 * The privileges of a running Weft: after the set-up it keeps the capabilities that something still needs, each for a
 * reason (docs/decisions/0017-capabilities.md).
 */

import { closeSync, constants, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import {
  type Capability,
  capabilityNames,
  hasNoNewPrivileges,
  reduceCapabilities,
  shareCapabilities,
  withCapabilities,
} from '../sys/capabilities.js';
import { info, warn } from './support/log.js';

/** Ports below this one need CAP_NET_BIND_SERVICE. */
const FIRST_FREE_PORT = 1024;

/** What a running Weft does again after its set-up. */
export interface Duties {
  /** UDP port of the tunnel; a new underlay address gets new sockets. */
  port: number;
  /** Whether rules in legacy iptables are read or written. */
  legacyIptables: boolean;
  /** Whether BPF programs are loaded again when something changes. */
  fastPath: boolean;
  /** Files that are read again when they change. */
  readFiles: readonly string[];
  /** Directories in which files are written. */
  writtenDirectories: readonly string[];
}

export interface Need {
  capability: Capability;
  reason: string;
}

export interface PrivilegeStatus {
  /** The capabilities of the process and its children, by name. Forwarding threads have none. */
  capabilities: string[];
  noNewPrivileges: boolean;
  /** Threads of Node.js that keep more capabilities: they existed before Weft's first line. */
  threadsWithMore: number;
  /** Steps that failed: `capset: EPERM`. */
  problems: string[];
}

/** Returns what these duties need. */
export function needsOf({ port, legacyIptables, fastPath, readFiles, writtenDirectories }: Duties): Need[] {
  const needs: Need[] = [{ capability: 'CAP_NET_ADMIN', reason: 'device, routes and rules' }];
  if (port < FIRST_FREE_PORT) needs.push({ capability: 'CAP_NET_BIND_SERVICE', reason: `UDP port ${port}` });
  if (legacyIptables) needs.push({ capability: 'CAP_NET_RAW', reason: 'legacy iptables' });
  if (fastPath) {
    needs.push({ capability: 'CAP_BPF', reason: 'fast path' });
    // Without it the verifier may refuse the programs: speculation could abuse them (kernel/bpf/verifier.c, bypass_spec_v1).
    needs.push({ capability: 'CAP_PERFMON', reason: 'fast path' });
  }
  const foreign = writtenDirectories.find((path) => !isWritable(path));
  if (foreign !== undefined) {
    needs.push({ capability: 'CAP_DAC_OVERRIDE', reason: `directory ${foreign} of another user` });
    return needs;
  }
  const kept = needs.map(({ capability }) => capability);
  const secret = withCapabilities(kept, () => readFiles.find(isForbidden));
  if (secret !== undefined)
    needs.push({ capability: 'CAP_DAC_READ_SEARCH', reason: `file ${secret} of another user` });
  return needs;
}

export class Privileges {
  private problems: readonly string[] = [];

  /** Passes the capabilities of a user other than root on to the commands that Weft runs. */
  share(): void {
    if (process.geteuid?.() !== 0) this.problems = shareCapabilities();
  }

  /** Gives up what no duty needs. It never throws; a step that fails is a problem in the status. */
  reduce(duties: Duties): void {
    try {
      const before = heldCapabilities();
      const needs = needsOf(duties);
      this.problems = reduceCapabilities(needs.map(({ capability }) => capability));
      const held = heldCapabilities();
      const dropped = before.length - held.length;
      if (dropped > 0) {
        const kept = needs.filter(({ capability }) => held.includes(capability));
        info(`dropped ${dropped} capabilities; Weft keeps ${listOf(kept)}`);
      }
      const missing = needs.filter(({ capability }) => !held.includes(capability));
      if (missing.length > 0)
        warn(
          `Weft was started without ${listOf(missing)}; grant it in the unit or in the container's manifest`,
        );
      if (this.problems.length > 0 && !before.includes('CAP_SETPCAP'))
        this.problems = [...this.problems, 'CAP_SETPCAP is missing'];
    } catch (error) {
      this.problems = [(error as Error).message];
    }
    if (this.problems.length > 0) warn(`not every privilege was dropped: ${this.problems.join(', ')}`);
  }

  status(): PrivilegeStatus {
    return {
      capabilities: heldCapabilities(),
      noNewPrivileges: hasNoNewPrivileges(),
      threadsWithMore: threadsWithMore(),
      problems: [...this.problems],
    };
  }
}

function listOf(needs: readonly Need[]): string {
  return needs.map(({ capability, reason }) => `${capability} (${reason})`).join(', ');
}

/** Returns whether this user may create files in a directory. A missing one is created again. */
function isWritable(path: string): boolean {
  try {
    const { uid, gid, mode } = statSync(path);
    if (uid === process.geteuid?.()) return (mode & 0o200) !== 0;
    if (gid === process.getegid?.()) return (mode & 0o020) !== 0;
    return (mode & 0o002) !== 0;
  } catch {
    return true;
  }
}

/** Returns whether a file exists that this thread may not read. */
function isForbidden(path: string): boolean {
  try {
    // A FIFO does not block.
    closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES';
  }
}

/** Returns the names of the main thread's capabilities. */
function heldCapabilities(): string[] {
  return capabilityNames(permittedOf('self'));
}

/** Counts the threads with capabilities that the main thread does not have. */
function threadsWithMore(): number {
  const own = permittedOf('self');
  return readdirSync('/proc/self/task').filter((thread) => (permittedOf(`self/task/${thread}`) & ~own) !== 0n)
    .length;
}

/** Returns the permitted capabilities of a process or thread; none if it has ended. */
function permittedOf(task: string): bigint {
  try {
    const status = readFileSync(`/proc/${task}/status`, 'utf8');
    return BigInt(`0x${/^CapPrm:\t([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  } catch {
    return 0n;
  }
}
