/** Opens the dataplane of a plan, and turns the kernel's errors into text for the operator. */

import {
  Dataplane,
  HandoverMismatch,
  OffloadUnavailable,
  probeSocket,
  type SpareWorker,
} from '../dataplane/dataplane.js';
import { BIND, UNDERLAY_GONE } from '../sys/call-errors.js';
import { SystemError } from '../sys/system-error.js';
import { formatIp, type Ip, toUnderlay } from './addresses/ip.js';
import { fastPathObstacle } from './fast-path-obstacle.js';
import type { Link } from './kernel/links.js';
import type { Lease } from './leases/lease.js';
import type { RunOptions } from './options.js';
import { boundAddress, type FamilyPlan, formatEndpoint } from './plan.js';
import { shellWord } from './support/printable.js';
import { type FindingHint, UserError } from './support/user-error.js';
import { UnderlayMissing } from './underlay/rules.js';

/** Binds the sockets and creates the device. @throws UserError; then nothing is left behind */
export function openDataplane(
  plan: FamilyPlan,
  own: Lease,
  links: readonly Link[],
  options: RunOptions,
  spare?: SpareWorker,
): Dataplane {
  const { backend, origin, podMtu, peerCheck } = plan;
  const address = boundAddress(plan, own);
  try {
    return new Dataplane({
      device: backend.device,
      origin,
      address: toUnderlay(address),
      port: backend.conf.port,
      workers: options.workers,
      offload: options.offload === 'bpf' ? 'auto' : options.offload,
      fastPath: fastPathObstacle(options.offload, plan) === null ? options.attach : undefined,
      gsoRuns: options.gsoTrains,
      busyPoll: options.busyPoll,
      podMtu,
      tunnel: backend.tunnel(own, peerCheck),
      spare,
    });
  } catch (error) {
    if (error instanceof OffloadUnavailable)
      throw new UserError(`--offload ${options.offload}: ${error.message}; use --offload auto`);
    if (error instanceof HandoverMismatch)
      throw new UserError(`--takeover: ${error.message}; stop the running Weft and start this one instead`);
    throw error instanceof SystemError ? userErrorFor(error, plan, links, address) : error;
  }
}

/** Binds and closes the tunnel's port. @throws UserError if another socket has it */
export function refuseTakenPort(
  plan: FamilyPlan,
  links: readonly Link[],
  own: Pick<Lease, 'publicIp'>,
): void {
  const { port } = plan.backend.conf;
  // The vxlan device that --adopt replaces has the port.
  if (plan.adopted?.data.port === port) return;
  // The running Weft has it, and hands it over.
  if (typeof plan.origin === 'object' && plan.origin.port === port) return;
  const address = boundAddress(plan, own);
  try {
    probeSocket(toUnderlay(address), port);
  } catch (error) {
    throw error instanceof SystemError ? userErrorFor(error, plan, links, address) : error;
  }
}

/** Binds the dataplane's sockets to the present address. @throws UserError; then the old sockets stay in use */
export function rebindSockets(dataplane: Dataplane, plan: FamilyPlan, own: Lease): void {
  const address = boundAddress(plan, own);
  try {
    dataplane.rebind(toUnderlay(address));
  } catch (error) {
    throw error instanceof SystemError ? userErrorFor(error, plan, [], address) : error;
  }
}

/** Returns the error for the operator. `links` are searched for a vxlan device that has the port. */
export function userErrorFor(
  error: SystemError,
  { backend }: Pick<FamilyPlan, 'backend'>,
  links: readonly Link[],
  address: Ip,
): UserError {
  const { port } = backend.conf;
  if (error.syscall !== 'bind') {
    const held = error.code === 'EBUSY' ? '; another process has it' : '';
    return new UserError(`${backend.device} cannot be opened: ${error.message}${held}`);
  }
  if (error.code !== 'EADDRINUSE') return cannotBind(error, formatEndpoint(address, port));
  const vxlan = links.find(({ kind, data }) => kind === 'vxlan' && data.port === port);
  const hint: FindingHint = {
    id: 'port-taken',
    why: "Weft receives the peers' packets on this port, and does not start without it.",
    fix: vxlan === undefined ? `ss -lunp "sport = :${port}"` : `ip link delete ${shellWord(vxlan.name)}`,
  };
  return new UserError(
    vxlan === undefined
      ? `UDP port ${port} of ${formatIp(address)} is taken by another process; find and stop it (ss -lunp "sport = :${port}"), or change Backend.Port on every node`
      : `UDP port ${port} of ${formatIp(address)} is taken by the kernel vxlan device ${vxlan.name}; remove it (ip link delete ${shellWord(vxlan.name)}), or change Backend.Port on every node`,
    hint,
  );
}

function cannotBind({ code, errno }: SystemError, endpoint: string): UserError {
  const what = `UDP ${endpoint} cannot be bound (${code})`;
  if (BIND[errno] === UNDERLAY_GONE)
    return new UnderlayMissing(`${what}; check that the interface still has the address`);
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return new UserError(
        `${what}; grant CAP_NET_BIND_SERVICE for a port below 1024, or allow it in SELinux, AppArmor or seccomp`,
      );
    default:
      return new UserError(`${what}; check the interface and Backend.Port`);
  }
}
