/** Why the fast path cannot be used at all: by the options, by the plan, or because of this kernel. */

import { FastPathUnavailable, testFastPath } from '../dataplane/dataplane.js';
import type { RunOptions } from './options.js';
import type { FamilyPlan } from './plan.js';
import { UserError } from './support/user-error.js';

/** Returns why a family cannot use the fast path; null if it can. */
export function fastPathObstacle(choice: RunOptions['offload'], plan: FamilyPlan): string | null {
  const { backend, family, peerCheck, link } = plan;
  if (isSwitchedOff(choice)) return `switched off by --offload ${choice}`;
  if (backend.conf.type !== 'vxlan') return 'the udp backend has no Ethernet frames';
  if (family === 'ipv6') return 'the underlay is IPv6, which requires UDP checksums';
  if (backend.learning) return 'Learning needs every packet';
  if (peerCheck !== 'strict') return `--peer-check ${peerCheck} accepts what the fast path cannot check`;
  if (!link.ethernet) return `${link.name} is no Ethernet device`;
  return kernelObstacle();
}

/** Returns whether the operator has chosen to do without the fast path. */
export function isSwitchedOff(choice: RunOptions['offload']): boolean {
  return choice === 'none' || choice === 'gso';
}

/** Returns why no family can use the fast path; null if one can. */
export function commonObstacle(choice: RunOptions['offload'], plans: readonly FamilyPlan[]): string | null {
  const reasons = plans.map((plan) => fastPathObstacle(choice, plan));
  return reasons.includes(null) ? null : (reasons[0] ?? null);
}

/** Refuses --offload bpf where no family can use the fast path. @throws UserError */
export function demandFastPath(choice: RunOptions['offload'], plans: readonly FamilyPlan[]): void {
  const obstacle = choice === 'bpf' ? commonObstacle(choice, plans) : null;
  if (obstacle !== null) throw new UserError(`--offload bpf: ${obstacle}; use --offload auto`);
}

/** The result of the self-test, which stays the same as long as this process runs. */
let tested: { reason: string | null } | undefined;

/** Returns why this kernel does not take the programs; null if it does. */
export function kernelObstacle(): string | null {
  tested ??= { reason: selfTest() };
  return tested.reason;
}

function selfTest(): string | null {
  try {
    testFastPath();
    return null;
  } catch (error) {
    if (error instanceof FastPathUnavailable) return error.message;
    throw error;
  }
}
