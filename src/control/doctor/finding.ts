/** A finding of `weft doctor`: what is wrong, why it matters, and the command that corrects it. */

import { type Check, checkOf, type Obstacle } from '../obstacles/obstacle.js';
import { UserError } from '../support/user-error.js';
import type { FindingId } from './finding-ids.js';

/** `error`: Weft does not start, or carries no packet of someone. `warning`: some packets may be lost. */
export type Severity = 'error' | 'warning' | 'ok';

export interface Finding {
  /** A FindingId, or the subject of what is well. */
  id: string;
  severity: Severity;
  /** One sentence with the object and the value. */
  what: string;
  /** What follows from it; null if all is well. */
  why: string | null;
  /**
   * One command, or an instruction if no command can do it: a sentence that begins with a capital letter. Null if all is
   * well.
   */
  fix: string | null;
}

export function ok(id: string, what: string): Finding {
  return { id, severity: 'ok', what, why: null, fix: null };
}

export function problem(
  id: FindingId,
  severity: 'error' | 'warning',
  what: string,
  why: string,
  fix: string,
): Finding {
  return { id, severity, what, why, fix };
}

/** Where to read on if an error states no remedy. */
const READ_ON = 'Look it up in docs/guides/troubleshooting.md.';
/** The place of an error in a file, with which its message begins. */
const FILE_AND_LINE = /^\S+:\d+[: ]/;
const NO_START = 'weft run ends with this error, and the node has no pod network.';

/** Returns the finding of an error that keeps Weft from starting. @throws any error but a UserError */
export function findingOf(error: unknown, id: FindingId = 'cannot-start'): Finding {
  if (!(error instanceof UserError)) throw error;
  const { hint } = error;
  const { what, fix } = splitRemedy(error.message, hint?.fix === undefined ? 'last' : 'first');
  const remedy = fix ?? (FILE_AND_LINE.test(what) ? 'correct the file at this line' : undefined);
  return problem(hint?.id ?? id, 'error', what, hint?.why ?? NO_START, hint?.fix ?? instruction(remedy));
}

/** Returns a remedy in words as a sentence. */
export function instruction(remedy: string | undefined): string {
  if (remedy === undefined) return READ_ON;
  const sentence = `${remedy.charAt(0).toUpperCase()}${remedy.slice(1)}`;
  return sentence.endsWith('.') ? sentence : `${sentence}.`;
}

/** The finding of each check of obstacles, and why it matters. */
const CONSEQUENCES: Readonly<
  Record<Exclude<Check, 'firewall rules'>, readonly [id: FindingId, why: string]>
> = {
  'firewall forward': ['firewall-forward', 'Packets between pods of different nodes are lost on this node.'],
  'firewall input': [
    'firewall-input',
    "Packets of the peers do not reach Weft's threads; only the fast path passes the chain by.",
  ],
  'firewall output': [
    'firewall-output',
    "Packets of Weft's threads do not reach the peers; only the fast path passes the chain by.",
  ],
  forbidden: [
    'iptables-forbidden',
    "Weft's rules may be in another back end of iptables than kubelet's, and one may undo the other.",
  ],
  kubelet: [
    'iptables-back-end',
    "The rules of Weft and kubelet's are in different tables, and one may undo the other.",
  ],
  forwarding: ['forwarding', 'Packets of pods are lost on this node.'],
  'local peer': ['local-peer', 'The pods of that node cannot be reached from here.'],
  bridge: ['cni-bridge', 'The CNI plugin never changes the address of its bridge, and refuses new pods.'],
  'router advertisements': [
    'router-advertisements',
    'The node loses its IPv6 default route in some minutes.',
  ],
  'direct routing': ['direct-routing', 'Packets take the tunnel, though net-conf asks for direct routes.'],
  'silent peer': ['silent-peer', "Pods here get no answer from that node's pods."],
  'refused source': ['wrong-source-address', "Packets of that node's pods are lost on this node."],
  other: ['obstacle', 'Packets of pods may be lost.'],
};

/** Returns the finding of an obstacle. */
export function findingOfObstacle({ key, message, fix }: Obstacle): Finding {
  const check = checkOf({ key });
  if (check === 'firewall rules') return findingOfLimitation(message);
  const [id, why] = CONSEQUENCES[check];
  const { what, fix: remedy } = splitRemedy(message, 'first');
  return problem(id, 'warning', what, why, fix ?? instruction(remedy));
}

/** Returns the finding of a limitation of this machine's firewall. */
export function findingOfLimitation(message: string): Finding {
  const { what, fix } = splitRemedy(message);
  const command = /\((apt-get [^)]+)\)|(modprobe [\w -]+)$/.exec(message);
  const why = 'Weft completes the rules once the kernel can have them; until then packets may be lost.';
  return problem('firewall-module', 'warning', what, why, command?.[1] ?? command?.[2] ?? instruction(fix));
}

/** Splits a message at its first or last semicolon outside parentheses, behind which the remedy begins. */
export function splitRemedy(
  message: string,
  which: 'first' | 'last' = 'last',
): { what: string; fix?: string } {
  const places: number[] = [];
  let depth = 0;
  for (const [at, character] of [...message].entries()) {
    if (character === '(') depth++;
    if (character === ')') depth--;
    if (character === ';' && depth === 0) places.push(at);
  }
  const at = which === 'first' ? places[0] : places.at(-1);
  if (at === undefined) return { what: message };
  const characters = [...message];
  return {
    what: characters.slice(0, at).join(''),
    fix: characters
      .slice(at + 1)
      .join('')
      .trim(),
  };
}

/** Returns problems before the rest, errors first. */
export function inOrder(findings: readonly Finding[]): Finding[] {
  const ranks = { error: 0, warning: 1, ok: 2 };
  return [...findings].sort((a, b) => ranks[a.severity] - ranks[b.severity]);
}
