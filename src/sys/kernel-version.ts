/** The version of the running kernel, for features that no system call reports. Read it in the main thread only. */

import { release } from 'node:os';

/** The first three numbers of a release: `6.1.0-18-amd64` is [6, 1, 0]. A number that is missing is 0. */
export type KernelVersion = readonly [major: number, minor: number, patch: number];

/** Returns the version of a release, by default of the running kernel's; [0, 0, 0] for other text. */
export function kernelVersion(text: string = release()): KernelVersion {
  const [, major = 0, minor = 0, patch = 0] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(text) ?? [];
  return [Number(major), Number(minor), Number(patch)];
}

/** Returns whether `version` is `other` or newer. */
export function isAtLeast(version: KernelVersion, other: KernelVersion): boolean {
  for (const [index, number] of version.entries()) {
    const difference = number - (other[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
