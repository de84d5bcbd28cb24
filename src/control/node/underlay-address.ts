/** The address to which a tunnel's socket is bound. Without it no packet arrives. */

import { setTimeout as delay } from 'node:timers/promises';
import type { Family } from '../addresses/family.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import { localAddresses } from '../kernel/links.js';
import { type KernelSnapshot, readSnapshot } from '../kernel/snapshot.js';
import { UserError } from '../support/user-error.js';

/** A DHCP client may remove the address and add it again within this time. */
const GRACE_MS = 2000;

/** The error for a lost underlay address: Weft must stop. */
export class UnderlayAddressGone extends UserError {}

/**
 * Reads the kernel's state, and waits a moment if the address is missing.
 * @throws UnderlayAddressGone if it stays missing, AbortError once the signal is aborted
 */
export async function readSnapshotWithAddress(
  family: Family,
  address: Ip,
  signal: AbortSignal,
): Promise<KernelSnapshot> {
  const snapshot = await readSnapshot(family);
  if (localAddresses(snapshot.links).includes(address)) return snapshot;
  await delay(GRACE_MS, undefined, { signal });
  const later = await readSnapshot(family);
  if (localAddresses(later.links).includes(address)) return later;
  throw new UnderlayAddressGone(
    `${formatIp(address)} is no longer an address of this node, and the tunnel's socket is bound to it; restart Weft to use the present address`,
  );
}
