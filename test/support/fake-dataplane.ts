/** A dataplane without devices and threads: it records the requests of control, and fails on demand. */

import { formatIp } from '../../src/control/addresses/ip.js';
import { formatMac } from '../../src/control/addresses/mac.js';
import {
  type Dataplane,
  type DataplaneEvents,
  DataplaneGone,
  type FdbChanges,
  PortFailure,
  type RouteChanges,
  type UnderlayAddress,
} from '../../src/dataplane/dataplane.js';

/** asm-generic/errno.h */
const EBADFD = 77;
const ENETDOWN = 100;

export class FakeDataplane {
  readonly offload = { level: 'gso', uso: true } as const;
  readonly levels = { transmit: { level: 'gso' }, receive: { level: 'gso' } } as const;
  /** Read by `counters`. */
  tx = 0;
  stopped = false;
  /** A thread that does not answer, as text. */
  silent: string | null = null;
  /** `rebind` throws it. */
  refusal: Error | undefined;
  private readonly note: (line: string) => void;
  private events: DataplaneEvents | undefined;

  /** `note` records each request. */
  constructor(note: (line: string) => void) {
    this.note = note;
  }

  /** The fake in the type that control expects. */
  get asDataplane(): Dataplane {
    return this as unknown as Dataplane;
  }

  async start(events: DataplaneEvents): Promise<void> {
    this.events = events;
  }

  async setOwnMac(high: number, low: number): Promise<void> {
    this.request(`own mac ${macOf({ high, low })}`);
  }

  async setOwnAddress(address: number): Promise<void> {
    this.request(`own address ${formatIp(address >>> 0)}`);
  }

  async updateFdb({ remove, set }: FdbChanges): Promise<void> {
    for (const entry of remove) this.request(`fdb delete ${macOf(entry)}`);
    for (const entry of set) {
      const address = typeof entry.address === 'number' ? formatIp(entry.address >>> 0) : entry.address;
      this.request(`fdb set ${macOf(entry)} ${address}`);
    }
  }

  async updateRoutes({ remove, set }: RouteChanges): Promise<void> {
    for (const { base, prefixLength } of remove) {
      this.request(`delete ${formatIp(base >>> 0)}/${prefixLength}`);
    }
    for (const { base, prefixLength, address } of set) {
      this.request(`set ${formatIp(base >>> 0)}/${prefixLength} ${formatIp(address >>> 0)}`);
    }
  }

  rebind(address: UnderlayAddress): void {
    if (this.refusal !== undefined) throw this.refusal;
    this.note(`rebind ${typeof address === 'number' ? formatIp(address >>> 0) : address}`);
  }

  async learned(): Promise<never[]> {
    return [];
  }

  counters(): Record<string, number> {
    return { tx_packets: this.tx };
  }

  async peers(): Promise<never[]> {
    return [];
  }

  async figures(): Promise<{ peers: never[]; counters: Record<string, number> }> {
    return { peers: [], counters: this.counters() };
  }

  async refusedSources(): Promise<never[]> {
    return [];
  }

  checksumDrops(): number {
    return 0;
  }

  keepDevice(): void {
    this.note('keep the device');
  }

  async remove(): Promise<void> {
    await this.stop();
  }

  async stop(): Promise<void> {
    this.stopped = true;
  }

  /** Reports that the device is gone, as a forwarding thread does. */
  loseDevice(device: string): void {
    this.stopped = true;
    this.events?.onFailure(new PortFailure('overlay', device, EBADFD));
  }

  /** Reports that the UDP socket failed. */
  loseSocket(): void {
    this.events?.onFailure(new PortFailure('underlay', 'flannel.1', ENETDOWN));
  }

  /** Reports an error that has nothing to do with a port. */
  fail(error: Error): void {
    this.events?.onFailure(error);
  }

  private request(line: string): void {
    if (this.stopped) throw new DataplaneGone();
    this.note(line);
  }
}

function macOf({ high, low }: { high: number; low: number }): string {
  return formatMac(high * 2 ** 32 + (low >>> 0));
}
