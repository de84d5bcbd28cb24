/** An obstacle: a state of the node that Weft does not own and that keeps packets from passing. */

import type { Cidr } from '../addresses/cidr.js';
import type { Family } from '../addresses/family.js';
import type { Ip } from '../addresses/ip.js';
import type { Lease } from '../leases/lease.js';

export interface Obstacle {
  /** Identifies the obstacle while it lasts: the check's name, and the object if there can be several. */
  key: string;
  /** One sentence that states what is wrong and on which object, then a remedy. */
  message: string;
  /** The remedy as one command, if one command can do it. */
  fix?: string;
}

/** The checks that doctor and metrics tell apart: the beginnings of the obstacles' keys. */
export const CHECKS = [
  'bridge',
  'direct routing',
  'firewall forward',
  'firewall input',
  'firewall output',
  'firewall rules',
  'forbidden',
  'forwarding',
  'kubelet',
  'local peer',
  'refused source',
  'router advertisements',
  'silent peer',
] as const;

/** Stands for a check that this version does not have: the running Weft may have another one. */
export const OTHER_CHECK = 'other';

export type Check = (typeof CHECKS)[number] | typeof OTHER_CHECK;

/** Returns the check that found an obstacle. */
export function checkOf({ key }: Pick<Obstacle, 'key'>): Check {
  return CHECKS.find((check) => key.startsWith(check)) ?? OTHER_CHECK;
}

/** What a check knows of one family of this node, running or planned. */
export interface FamilyFacts {
  family: Family;
  /** Name of the overlay device; with `weft doctor` it may not exist yet. */
  device: string;
  /** Name of the underlay interface. */
  underlay: string;
  /** The address to which the tunnel's sockets are bound. */
  address: Ip;
  /** The tunnel's UDP port. */
  port: number;
  /** The pod network of the cluster. */
  network: Cidr;
  /** This node's part of it. */
  subnet: Cidr;
  peers: readonly Lease[];
  /** Whether net-conf asks for DirectRouting. */
  directRouting?: boolean;
}

/**
 * Reads the node's state and changes nothing. Returns no obstacle if the state cannot be read. The signal stops running
 * commands.
 */
export type ObstacleCheck = (facts: FamilyFacts, signal?: AbortSignal) => Promise<Obstacle[]>;
