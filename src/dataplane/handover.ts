/**
 * The open files of a running dataplane for another process, which forwards between the same queues and sockets. The old
 * threads go on until their process stops them; each packet is read once, by either process.
 */

import { EAGAIN } from '../sys/errno.js';
import { close } from '../sys/ffi.js';
import {
  openDescriptorSocket,
  type PassedDescriptors,
  receiveDescriptors,
  sendDescriptors,
} from '../sys/pass-descriptors.js';
import { isIpv6Address, type UnderlayAddress } from '../sys/sockaddr.js';
import type { SystemError } from '../sys/system-error.js';
import { HandoverMismatch } from './errors.js';
import type { Device } from './io/device.js';
import type { Sockets } from './io/sockets.js';
import type { OffloadLevel } from './offload/level.js';
import type { TunnelOptions } from './tunnel/options.js';

/** What the receiving process has to know about the files. */
interface Description {
  device: string;
  tunnel: TunnelOptions['type'];
  workers: number;
  offload: Device['offload'];
  refusal?: string;
  address: UnderlayAddress;
  port: number;
}

/** What the options of a dataplane require of the files. */
interface Requirements extends Pick<Description, 'device' | 'workers' | 'address' | 'port'> {
  tunnel: { type: TunnelOptions['type'] };
  offload: OffloadLevel | 'auto';
}

/** The files of another process's dataplane. Its owner closes them. */
export interface Handover extends Description {
  deviceFds: readonly number[];
  receiveFds: readonly number[];
  transmitFds: readonly number[];
}

/** Receives the dataplanes of another process at a Unix socket. */
export class HandoverReceiver {
  private readonly fd: number;

  /** Creates the socket. @throws SystemError */
  constructor(path: string) {
    this.fd = openDescriptorSocket(path);
  }

  /** Returns everything that has been sent. @throws SystemError; then nothing is left open */
  receive(): Handover[] {
    const handovers: Handover[] = [];
    try {
      for (;;) {
        const passed = receiveDescriptors(this.fd);
        if (passed === undefined) return handovers;
        if (passed.text !== '') handovers.push(parse(passed));
      }
    } catch (error) {
      for (const handover of handovers) discardHandover(handover);
      throw error;
    }
  }

  close(): void {
    close(this.fd);
  }
}

/** Sends the files of a dataplane to the socket at `path`; they stay open here. @throws SystemError */
export function sendHandover(path: string, description: Description, device: Device, sockets: Sockets): void {
  sendDescriptors(path, { text: JSON.stringify(description), fds: [...device.fds, ...sockets.all] });
}

/** Returns whether a process has the socket at `path` open, to which nothing but an empty message is sent. */
export function isReceiving(path: string): boolean {
  try {
    sendDescriptors(path, { text: '', fds: [] });
    return true;
  } catch (error) {
    // Its queue is full.
    return (error as SystemError).errno === EAGAIN;
  }
}

/** Closes the files of a handover that no dataplane has taken. */
export function discardHandover({ deviceFds, receiveFds, transmitFds }: Handover): void {
  for (const fd of [...deviceFds, ...receiveFds, ...transmitFds]) close(fd);
}

/** Refuses files that do not suit these options. @throws HandoverMismatch */
export function refuseMismatch(handover: Handover, options: Requirements): void {
  const { level } = handover.offload;
  const wanted = options.offload === 'auto' ? level : options.offload;
  for (const [what, theirs, ours] of [
    ['device', handover.device, options.device],
    ['tunnel', handover.tunnel, options.tunnel.type],
    ['number of workers', handover.workers, options.workers],
    ['offload level', level, wanted],
  ] as const) {
    if (theirs !== ours) throw new HandoverMismatch(what, String(theirs), String(ours));
  }
}

/** Returns whether the sockets of a handover are bound as these options require. */
export function hasSockets(
  handover: Handover,
  { address, port }: Pick<Requirements, 'address' | 'port'>,
): boolean {
  return handover.port === port && textOf(handover.address) === textOf(address);
}

function textOf(address: UnderlayAddress): string {
  return isIpv6Address(address) ? address.join() : String(address);
}

function parse({ text, fds }: PassedDescriptors): Handover {
  const description = JSON.parse(text) as Description;
  const { workers } = description;
  return {
    ...description,
    deviceFds: fds.slice(0, workers),
    receiveFds: fds.slice(workers, 2 * workers),
    transmitFds: fds.slice(2 * workers),
  };
}
