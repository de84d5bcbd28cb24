/**
 * The capabilities of a thread, and how a thread gives them up (capabilities(7)).
 *
 * The kernel has capabilities, the bounding set and no_new_privs per thread. A new thread and a child process inherit
 * those of the thread that creates them; no call reaches the threads that exist already.
 */

import {
  LINUX_CAPABILITY_VERSION_3,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
  PR_CAPBSET_READ,
  PR_GET_NO_NEW_PRIVS,
  PR_SET_NO_NEW_PRIVS,
} from './constants.js';
import { capget, capset, prctl } from './ffi.js';
import { SystemError } from './system-error.js';

/** linux/capability.h: the name at index n is capability n. */
const NAMES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ', // 3.16
  'CAP_PERFMON', // 5.8
  'CAP_BPF', // 5.8
  'CAP_CHECKPOINT_RESTORE', // 5.9
] as const;

export type Capability = (typeof NAMES)[number];

/** Capability n is bit n. */
type Mask = bigint;

interface Sets {
  effective: Mask;
  permitted: Mask;
  inheritable: Mask;
}

/** struct __user_cap_header_struct: version u32, pid i32 (0: this thread). */
const HEADER = new Uint8Array(new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]).buffer);

function maskOf(capabilities: readonly Capability[]): Mask {
  return capabilities.reduce((mask, name) => mask | (1n << BigInt(NAMES.indexOf(name))), 0n);
}

/** Returns the numbers of the capabilities in a mask. */
function bitsOf(mask: Mask): number[] {
  return [...mask.toString(2)].reverse().flatMap((bit, index) => (bit === '1' ? [index] : []));
}

/** @throws SystemError */
function readSets(): Sets {
  const words = new Uint32Array(6);
  demand('capget', capget(HEADER, new Uint8Array(words.buffer)));
  const [effective, permitted, inheritable] = [0, 1, 2].map(
    (index) => (BigInt(words[index + 3] as number) << 32n) | BigInt(words[index] as number),
  ) as [Mask, Mask, Mask];
  return { effective, permitted, inheritable };
}

/** @throws SystemError */
function writeSets({ effective, permitted, inheritable }: Sets): void {
  const masks = [effective, permitted, inheritable];
  const words = Uint32Array.from([...masks, ...masks.map((mask) => mask >> 32n)], (mask) =>
    Number(mask & 0xffffffffn),
  );
  demand('capset', capset(HEADER, new Uint8Array(words.buffer)));
}

/** Returns the names of the capabilities in a mask of proc_pid_status(5). One of a newer kernel has a number only. */
export function capabilityNames(mask: Mask): string[] {
  return bitsOf(mask).map((number) => NAMES[number] ?? `CAP_${number}`);
}

/** Returns whether this thread and its children can gain no privileges by execve. */
export function hasNoNewPrivileges(): boolean {
  return prctl(PR_GET_NO_NEW_PRIVS, 0) === 1;
}

/** Runs `check` while this thread has only these capabilities in effect. @throws SystemError */
export function withCapabilities<T>(kept: readonly Capability[], check: () => T): T {
  const sets = readSets();
  writeSets({ ...sets, effective: sets.effective & maskOf(kept) });
  try {
    return check();
  } finally {
    writeSets(sets);
  }
}

/**
 * Passes this thread's capabilities on to its children. Those of root have them anyway; those of another user need the
 * ambient set. Returns the steps that failed, as text.
 */
export function shareCapabilities(): string[] {
  return attempt(() => hold(readSets().permitted));
}

/**
 * Reduces this thread, and the threads and children that it creates from now on, to those of these capabilities that it
 * has. Returns the steps that failed, as text: a container may lack CAP_SETPCAP or forbid a call.
 */
export function reduceCapabilities(kept: readonly Capability[]): string[] {
  const mask = maskOf(kept);
  return [
    // First, because it needs CAP_SETPCAP.
    ...attempt(() => dropBounding(mask)),
    ...attempt(() => hold(mask)),
    ...attempt(() => demand('no_new_privs', prctl(PR_SET_NO_NEW_PRIVS, 1))),
  ];
}

/** Keeps these capabilities as far as they are permitted, and passes them on to children. @throws SystemError */
function hold(mask: Mask): void {
  const sets = readSets();
  const permitted = sets.permitted & mask;
  const inheritable = permitted & (sets.inheritable | boundingSet());
  // The kernel removes from the ambient set what these sets lose.
  writeSets({ effective: permitted, permitted, inheritable });
  for (const capability of bitsOf(inheritable))
    demand('ambient set', prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability));
}

/** Returns the bounding set. PR_CAPBSET_READ returns -EINVAL behind the kernel's last capability. */
function boundingSet(): Mask {
  let mask = 0n;
  for (let capability = 0; ; capability++) {
    const present = prctl(PR_CAPBSET_READ, capability);
    if (present < 0) return mask;
    if (present === 1) mask |= 1n << BigInt(capability);
  }
}

/** Reduces the bounding set: without no_new_privs, a child of root gets all of it. @throws SystemError */
function dropBounding(kept: Mask): void {
  for (const capability of bitsOf(boundingSet() & ~kept))
    demand('bounding set', prctl(PR_CAPBSET_DROP, capability));
}

/** @throws SystemError for a negated errno */
function demand(step: string, result: number): void {
  if (result < 0) throw new SystemError(step, result);
}

/** Runs a step. Returns its failure as text. */
function attempt(step: () => void): string[] {
  try {
    step();
    return [];
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return [error.message];
  }
}
