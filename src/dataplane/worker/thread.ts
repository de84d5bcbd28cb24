/** Control's end of one forwarding thread. */

import { Worker } from 'node:worker_threads';
import { errnoName } from '../../sys/errno.js';
import { isIpv6Address } from '../../sys/sockaddr.js';
import { COUNTER_ROW_SIZE, type CounterRow } from '../counters.js';
import { DataplaneGone, PortFailure } from '../errors.js';
import type { Direction } from '../offload/level.js';
import type { DataplaneEvents, DataplaneOptions } from '../options.js';
import type { TunnelAnswer, TunnelRequest } from '../tunnel/requests.js';
import { Doorbell } from './doorbell.js';
import type { Reply, WorkerOptions } from './messages.js';

/** Old space of a worker's heap, in MB: code, and the FDB of tens of thousands of peers. */
const WORKER_HEAP_MB = 32;
/** Young space in MB. Nothing is allocated per packet, so it only serves requests and warm-up. */
const WORKER_YOUNG_MB = 4;

/** The descriptors a thread forwards between. */
export type ThreadResources = Pick<WorkerOptions, 'deviceFd' | 'socketFd' | 'txSocketFds' | 'offload'>;

/** The promise of a request that has not been answered yet. */
interface PendingRequest {
  resolve(answer: TunnelAnswer): void;
  reject(reason: Error): void;
}

export class ForwardingThread {
  readonly doorbell: Doorbell;
  readonly counters: CounterRow;
  readonly started: Promise<void>;
  readonly exited: Promise<void>;
  private readonly worker: Worker;
  private readonly pending = new Map<number, PendingRequest>();
  private nextId = 1;
  private gone = false;

  /** `onRefusal` is called once per direction that falls back, with the name of the kernel's errno. */
  constructor(
    options: DataplaneOptions,
    resources: ThreadResources,
    { onFailure }: Pick<DataplaneEvents, 'onFailure'>,
    onRefusal: (direction: Direction, code: string) => void,
  ) {
    const handle = Doorbell.create();
    const counters = new SharedArrayBuffer(COUNTER_ROW_SIZE);
    this.doorbell = new Doorbell(handle);
    this.counters = new Float64Array(counters);
    const { busyPoll, port, podMtu, tunnel } = options;
    const ipv6 = isIpv6Address(options.address);
    const path = { busyPoll, port, podMtu, tunnel, ipv6 };
    const workerData: WorkerOptions = { ...resources, ...path, doorbell: handle, counters };
    this.worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MB, maxYoungGenerationSizeMb: WORKER_YOUNG_MB },
    });
    this.exited = new Promise((resolve) => {
      this.worker.once('exit', () => resolve(this.abandon()));
    });
    this.worker.on('error', onFailure);
    this.started = new Promise((resolve) => {
      this.worker.on('message', (reply: Reply) => {
        switch (reply.type) {
          case 'started':
            return resolve();
          case 'done':
            return this.settle(reply.id)?.resolve(reply.answer);
          case 'rejected':
            return this.settle(reply.id)?.reject(
              new TypeError(`the ${options.tunnel.type} tunnel has no ${reply.request} request`),
            );
          case 'fallback':
            return onRefusal(reply.direction, errnoName(reply.errno));
          case 'failed':
            return onFailure(new PortFailure(reply.port, options.device, reply.errno));
        }
      });
    });
  }

  /** @throws DataplaneGone when the thread has ended, TypeError for a request of another tunnel type */
  request(request: TunnelRequest): Promise<TunnelAnswer> {
    if (this.gone) return Promise.reject(new DataplaneGone());
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.worker.postMessage({ ...request, id });
      this.doorbell.ring();
    });
  }

  private settle(id: number): PendingRequest | undefined {
    const request = this.pending.get(id);
    this.pending.delete(id);
    return request;
  }

  private abandon(): void {
    this.gone = true;
    for (const request of this.pending.values()) request.reject(new DataplaneGone());
    this.pending.clear();
  }
}
