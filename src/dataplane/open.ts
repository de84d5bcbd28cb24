/** What a dataplane opens before its threads start, and what follows from its options. */

import { close } from '../sys/ffi.js';
import { isIpv6Address } from '../sys/sockaddr.js';
import { OffloadUnavailable } from './errors.js';
import { discardHandover, hasSockets, refuseMismatch } from './handover.js';
import { type Device, openDevice } from './io/device.js';
import type { FilterRules } from './io/flood-guard.js';
import { Sockets } from './io/sockets.js';
import { supportsGso } from './io/udp-socket.js';
import type { DirectionLevel, OffloadLevel } from './offload/level.js';
import type { DataplaneOptions } from './options.js';
import { TUNNEL_TRAITS } from './tunnel/options.js';

/** @throws RangeError for a tunnel that cannot run over IPv6 */
export function checkUnderlayFamily({ address, tunnel }: DataplaneOptions): void {
  if (!isIpv6Address(address)) return;
  if (!TUNNEL_TRAITS[tunnel.type].ipv6Underlay)
    throw new RangeError(`the ${tunnel.type} tunnel needs an IPv4 underlay`);
  // A learned entry would outlive the number that stands for its IPv6 address (tunnel/ipv6-addresses.ts).
  if ('learning' in tunnel && tunnel.learning) throw new RangeError('learning needs an IPv4 underlay');
}

/** Binds the sockets, or takes those of a handover that are bound to the same address. @throws as the constructor */
export function openSockets(options: DataplaneOptions): Sockets {
  const { address, port, workers, origin, tunnel } = options;
  const socketOptions = { port, workers, txSockets: TUNNEL_TRAITS[tunnel.type].txSockets };
  if (typeof origin !== 'object') return Sockets.open(address, socketOptions);
  try {
    refuseMismatch(origin, options);
    const received = new Sockets(origin.receiveFds, origin.transmitFds, socketOptions);
    if (hasSockets(origin, options)) return received;
    const sockets = Sockets.open(address, socketOptions);
    received.close();
    return sockets;
  } catch (error) {
    discardHandover(origin);
    throw error;
  }
}

/** Opens the device, or takes that of a handover. @throws SystemError, OffloadUnavailable; then nothing is left open */
export function openDeviceOf({ device: name, workers, offload, origin, tunnel }: DataplaneOptions): Device {
  if (typeof origin === 'object') {
    const { deviceFds, refusal, offload } = origin;
    return { fds: [...deviceFds], offload, ...(refusal !== undefined && { refusal }) };
  }
  const options = { kind: TUNNEL_TRAITS[tunnel.type].device, name, queues: workers, origin };
  const device = openDevice(options, offload !== 'none' && supportsGso());
  if (offload !== 'gso' || device.offload.level === 'gso') return device;
  for (const fd of device.fds) close(fd);
  throw new OffloadUnavailable(
    'offload level gso needs UDP_SEGMENT and UDP_GRO (Linux 5.0) and a tun device with TSO',
  );
}

/** Returns what a filter may check: nothing that the tunnel would accept is dropped. */
export function filterRules({ address, tunnel }: DataplaneOptions, level: OffloadLevel): FilterRules {
  const byAddress = tunnel.peerCheck === 'strict';
  // Datagrams of a GRO run have different headers.
  const vni = tunnel.type === 'vxlan' && level === 'none' ? { vni: tunnel.vni } : {};
  return { ipv6: isIpv6Address(address), byAddress, ...vni };
}

/** Returns the level of a direction: `none` at level `gso` if there is a reason. */
export function directionLevel(level: OffloadLevel, reason: string | undefined): DirectionLevel {
  return level === 'gso' && reason !== undefined ? { level: 'none', reason } : { level };
}
