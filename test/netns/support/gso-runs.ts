/** Whether GSO runs can leave a node: a link without checksum offload refuses them before Linux 6.11. */

import { exec } from '../../../lab/exec.js';
import { DIST } from '../../../lab/world.js';
import { gsoRunLimit } from '../../../src/dataplane/offload/gso-runs.js';
import { isAtLeast, kernelVersion } from '../../../src/sys/kernel-version.js';

/** The first kernel that computes the checksums of a run itself (net/ipv4/udp.c, udp_send_skb). */
const SOFTWARE_CHECKSUMS = [6, 11, 0] as const;

/**
 * Returns whether Weft on a node sends GSO runs to an underlay address. Asks the kernel with one run.
 * @throws Error if a kernel refuses the run that must accept it
 */
export async function sendsGsoRuns(node: { readonly netns: string }, address: string): Promise<boolean> {
  const version = kernelVersion();
  if (gsoRunLimit('auto', version).datagrams === 1) return false;
  const { stdout } = await exec([process.execPath, `${DIST}test/netns/peer/gso-probe.js`, address], {
    netns: node.netns,
  });
  const sends = stdout.trim() === 'sent';
  if (!sends && isAtLeast(version, SOFTWARE_CHECKSUMS)) throw new Error('this kernel must accept GSO runs');
  return sends;
}
