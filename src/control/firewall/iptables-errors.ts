/** What the errors of iptables say about the kernel. */

import { NOT_FOUND, type Outcome, reason } from '../support/command.js';
import type { BackEnd } from './iptables-version.js';
import { NoTable, Refused } from './reduction.js';

/**
 * The errors for a table that the kernel lacks: of legacy iptables, then of nf_tables without the type of the base
 * chain.
 */
const NO_TABLE = /Table does not exist|can't initialize|cannot be initialized|(TABLE|CHAIN)_ADD failed/;

/** The error for a process without a capability; legacy iptables adds it to "can't initialize". */
const FORBIDDEN = /Permission denied/;

/** Returns whether the kernel lacks the table, by the message of a command. */
export function isNoTable(message: string): boolean {
  return NO_TABLE.test(message) && !isForbidden(message);
}

/** Returns whether this process may not use the table, by the message of a command. */
export function isForbidden(message: string): boolean {
  return FORBIDDEN.test(message);
}

/** Returns the message of a command that failed, with the missing capability. */
export function withCapability(message: string, backEnd: BackEnd): string {
  if (!isForbidden(message)) return message;
  return `${message}; grant ${backEnd === 'legacy' ? 'CAP_NET_ADMIN and CAP_NET_RAW' : 'CAP_NET_ADMIN'}`;
}

/** Checks the outcome of a command that writes rules. @throws Refused, or Error if the rules are not to blame: a lock, a missing or hanging command */
export function throwUnlessDone(command: string, outcome: Outcome): void {
  if (outcome.code === 0) return;
  const what = `${command}: ${reason(outcome)}`;
  const blameless = outcome.code === NOT_FOUND || outcome.code < 0 || /\block\b/i.test(what);
  if (blameless) throw new Error(what);
  throw isNoTable(what) ? new NoTable(what) : new Refused(what);
}

/** Ignores the error of a kernel without nf_tables, which has no chains to delete. */
export function unlessNoNfTables(error: Error): undefined {
  if (!error.message.includes('Could not fetch rule set generation id: Invalid argument')) throw error;
}
