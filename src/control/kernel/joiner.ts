/**
 * The joiner of the fast path: a veth pair. Segments that are sent to one end are received at the other end, whose GRO
 * joins those of a TCP flow. The kernel's vxlan device has such a GRO of its own (gro_cells); a TAP does not.
 */

import { availableParallelism } from 'node:os';
import { ETHTOOL_SGRO, ETHTOOL_STSO } from '../../sys/constants.js';
import { setFeature } from '../../sys/ethtool.js';
import { SystemError } from '../../sys/system-error.js';
import { UserError } from '../support/user-error.js';
import { ipRun } from './ip.js';
import { ALIAS } from './left-devices.js';
import { type Link, readLinks } from './links.js';

export const SENDER = 'weft.0';
export const RECEIVER = 'weft.1';

/** Each end has a queue, and a NAPI, per receive queue of the underlay interface, of which more are rare. */
const MOST_QUEUES = 16;
/** The largest MTU of a veth: what arrives fits. */
const MTU = 65535;
/** Locally administered. They stay the same, so that no program sees a new device at each start. */
const MACS = { [SENDER]: '0a:77:65:66:74:00', [RECEIVER]: '0a:77:65:66:74:01' };

/** The interface indices of the two ends. */
export interface Joiner {
  sender: number;
  receiver: number;
}

/** Returns the pair, which it creates or sets up again as necessary. @throws UserError */
export async function ensureJoiner(links: readonly Link[]): Promise<Joiner> {
  const present = findJoiner(links);
  if (present !== undefined) return present;
  const taken = links.find(({ name }) => name === SENDER || name === RECEIVER);
  if (taken !== undefined && !isOurs(taken))
    throw new UserError(
      `${taken.name} exists and is not Weft's; rename or remove it: ip link delete ${taken.name}`,
    );
  const queues = Math.min(availableParallelism(), MOST_QUEUES);
  const each = `numtxqueues ${queues} numrxqueues ${queues}`;
  await ipRun([
    ...(taken === undefined ? [] : [`link delete ${taken.name}`]),
    `link add ${SENDER} address ${MACS[SENDER]} mtu ${MTU} ${each} type veth peer name ${RECEIVER} address ${MACS[RECEIVER]} mtu ${MTU} ${each}`,
    ...[SENDER, RECEIVER].map((name) => `link set dev ${name} alias ${ALIAS} arp off addrgenmode none`),
  ]);
  setFeatures();
  await ipRun([SENDER, RECEIVER].map((name) => `link set dev ${name} up`));
  const created = findJoiner(await readLinks());
  if (created === undefined) throw new UserError(`${SENDER} disappeared during its set-up`);
  return created;
}

/** Returns the pair if both ends exist and are up. */
export function findJoiner(
  links: readonly Pick<Link, 'name' | 'index' | 'alias' | 'kind' | 'up'>[],
): Joiner | undefined {
  const [sender, receiver] = [SENDER, RECEIVER].map((name) =>
    links.find((link) => link.name === name && isOurs(link) && link.up),
  );
  return sender && receiver && { sender: sender.index, receiver: receiver.index };
}

/** Deletes the pair. Returns whether it existed. @throws UserError */
export async function removeJoiner(links: readonly Link[]): Promise<boolean> {
  const end = links.find((link) => (link.name === SENDER || link.name === RECEIVER) && isOurs(link));
  if (end === undefined) return false;
  await ipRun([`link delete ${end.name}`]);
  return true;
}

function isOurs({ alias, kind }: Pick<Link, 'alias' | 'kind'>): boolean {
  return alias === ALIAS && kind === 'veth';
}

/** A veth joins only what a device without TSO sends (drivers/net/veth.c, veth_skb_is_eligible_for_gro). */
function setFeatures(): void {
  try {
    setFeature(SENDER, ETHTOOL_STSO, false);
    setFeature(RECEIVER, ETHTOOL_SGRO, true);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new UserError(error.message);
  }
}
