/** The UDP sockets of a dataplane, which outlive the threads that use them. */

import { O_CLOEXEC } from '../../sys/constants.js';
import { close, dup3 } from '../../sys/ffi.js';
import { socketFamilyOf, type UnderlayAddress } from '../../sys/sockaddr.js';
import { SystemError } from '../../sys/system-error.js';
import { openTxSockets, openUdpSockets, prepareTxSocket, setGro } from './udp-socket.js';

export interface SocketsOptions {
  /** UDP port of this node, in host order. */
  port: number;
  /** The number of receiving sockets, one per thread. */
  workers: number;
  /** Whether datagrams leave from sockets of their own. */
  txSockets: boolean;
}

export class Sockets {
  /** The sockets that receive, one per thread. */
  readonly receive: readonly number[];
  /** Sockets that all threads send through; if empty, each thread sends through the socket it receives on. */
  readonly transmit: readonly number[];
  private readonly options: SocketsOptions;
  private gro = false;

  /** Takes sockets that are open, with these options. */
  constructor(receive: readonly number[], transmit: readonly number[], options: SocketsOptions) {
    this.receive = receive;
    this.transmit = transmit;
    this.options = options;
  }

  /** Binds new sockets. @throws SystemError; then nothing is left open */
  static open(address: UnderlayAddress, options: SocketsOptions): Sockets {
    const { port, workers, txSockets } = options;
    const receive = openUdpSockets(address, port, workers);
    if (!txSockets) {
      for (const fd of receive) prepareTxSocket(fd, socketFamilyOf(address));
      return new Sockets(receive, [], options);
    }
    try {
      return new Sockets(receive, openTxSockets(address), options);
    } catch (error) {
      for (const fd of receive) close(fd);
      throw error;
    }
  }

  /** Returns all descriptors, the receiving sockets first. */
  get all(): number[] {
    return [...this.receive, ...this.transmit];
  }

  /** Whether the kernel joins arriving datagrams to GRO runs. */
  set joinsDatagrams(joins: boolean) {
    this.gro = joins;
    for (const fd of this.receive) setGro(fd, joins);
  }

  /**
   * Binds new sockets to another address of the same family. They take over the descriptors of the old ones, so that the
   * threads forward without a pause. @throws SystemError when they cannot be bound; then the old sockets stay in use
   */
  rebind(address: UnderlayAddress): void {
    const fresh = Sockets.open(address, this.options);
    try {
      fresh.joinsDatagrams = this.gro;
      for (const [index, fd] of this.all.entries()) {
        const result = dup3(fresh.all[index], fd, O_CLOEXEC);
        if (result < 0) throw new SystemError('dup3', result);
      }
    } finally {
      fresh.close();
    }
  }

  close(): void {
    for (const fd of this.all) close(fd);
  }
}
