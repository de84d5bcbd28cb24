/**
 * A program of the fast path at a traffic control hook of an interface, by one of two ways:
 *
 * - `tcx`: a TCX link (6.6). It exists as long as a descriptor or a pin refers to it.
 * - `clsact`: a BPF filter at a clsact qdisc. It exists until it or the interface is deleted.
 *
 * Programs at TCX see a packet before all filters of clsact do, and the fast path takes it away. So where another program
 * has filters at the hook, ours is a filter behind them.
 */

import { createLink, linkInfo, programId, updateLink } from '../../sys/bpf.js';
import { BPF_LINK_TYPE_TCX, BPF_TCX_EGRESS, BPF_TCX_INGRESS } from '../../sys/constants.js';
import { close } from '../../sys/ffi.js';
import { SystemError } from '../../sys/system-error.js';
import { addClsact, type Direction, deleteFilter, filtersOf, setFilter } from '../../sys/traffic-control.js';
import type { Pins } from './pins.js';
import type { Programs } from './programs.js';

export type Attachment = 'tcx' | 'clsact';

/** Where a program is attached. */
export interface HookPlace {
  /** The program, and the name of the pin. */
  name: keyof Programs;
  ifindex: number;
  direction: Direction;
}

/** Our filter is the last one of the hook: tc gives others a priority of 49152 at most. */
const PRIORITY = 65000;
const HANDLE = 1;
/** All names of our filters begin so. */
const PREFIX = 'weft_';

const TCX_TYPE = { ingress: BPF_TCX_INGRESS, egress: BPF_TCX_EGRESS } as const;

/** For tests: the only way of attaching, and where a BPF file system is mounted. */
export interface AttachOptions {
  attachment?: Attachment | undefined;
  fileSystem?: string | undefined;
}

export interface HookOptions {
  pins: Pins | undefined;
  /** Only this way; undefined: what suits the hook. */
  attachment: Attachment | undefined;
}

export class Hook {
  readonly place: HookPlace;
  private readonly options: HookOptions;
  private readonly filter: { priority: number; handle: number; name: string };
  /** The way in use; undefined while nothing is attached. */
  attachment: Attachment | undefined;
  /** The link of `tcx`. */
  private link: number | undefined;
  private program = 0;

  constructor(place: HookPlace, options: HookOptions) {
    this.place = place;
    this.options = options;
    this.filter = { priority: PRIORITY, handle: HANDLE, name: `${PREFIX}${place.name}` };
  }

  /** Attaches a program, in one step instead of an earlier one. `program` stays the caller's. @throws SystemError */
  attach(program: number): void {
    const wanted = this.wanted();
    try {
      this.attachBy(wanted, program);
    } catch (error) {
      // A kernel without TCX, or one without the clsact qdisc.
      if (this.options.attachment !== undefined || !(error instanceof SystemError)) throw error;
      this.attachBy(wanted === 'tcx' ? 'clsact' : 'tcx', program);
    }
    this.program = programId(program);
  }

  /** Returns whether the program still sees the packets of the hook, and no filter of another program comes too late. */
  get isAttached(): boolean {
    const { ifindex, direction } = this.place;
    const filters = filtersOf(ifindex, direction);
    if (this.attachment === 'clsact')
      return filters.some((filter) => this.isOurs(filter) && filter.program === this.program);
    if (this.attachment !== 'tcx' || this.link === undefined) return false;
    const info = linkInfo(this.link);
    const isPinned = this.options.pins?.has(this.place.name) ?? true;
    return (
      info.ifindex === ifindex && info.program === this.program && isPinned && !this.yields(filters.length)
    );
  }

  detach(): void {
    this.detachTcx();
    this.detachFilter();
    this.attachment = undefined;
  }

  /** Closes the link's descriptor. A pinned link, or a filter, stays. */
  release(): void {
    if (this.link !== undefined) close(this.link);
    this.link = undefined;
  }

  private wanted(): Attachment {
    const { attachment, pins } = this.options;
    if (attachment !== undefined) return attachment;
    const others = filtersOf(this.place.ifindex, this.place.direction).filter(
      (filter) => !this.isOurs(filter),
    );
    // Without a pin a link ends with this process.
    return pins === undefined || others.length > 0 ? 'clsact' : 'tcx';
  }

  /** Returns whether this hook should be a filter behind those of other programs. */
  private yields(filters: number): boolean {
    return this.options.attachment === undefined && filters > 0;
  }

  private isOurs({ priority, name }: { priority: number; name: string }): boolean {
    return priority === PRIORITY && name === this.filter.name;
  }

  private attachBy(attachment: Attachment, program: number): void {
    const { ifindex, direction } = this.place;
    if (attachment === 'tcx') {
      this.attachTcx(program);
      this.detachFilter();
    } else {
      addClsact(ifindex, direction);
      setFilter(ifindex, direction, this.filter, program);
      this.detachTcx();
    }
    this.attachment = attachment;
  }

  private attachTcx(program: number): void {
    const { ifindex, direction, name } = this.place;
    const { pins } = this.options;
    this.link ??= pins?.open(name);
    if (this.link !== undefined && this.isUsable(this.link)) {
      updateLink(this.link, program);
      pins?.keep(name, this.link);
      return;
    }
    const link = createLink(program, ifindex, TCX_TYPE[direction]);
    this.release();
    this.link = link;
    pins?.set(name, link);
  }

  /** Returns whether a link is at this hook: another one may have its name, or its interface may be gone. */
  private isUsable(link: number): boolean {
    try {
      const { type, ifindex, attachType } = linkInfo(link);
      const { place } = this;
      return (
        type === BPF_LINK_TYPE_TCX && ifindex === place.ifindex && attachType === TCX_TYPE[place.direction]
      );
    } catch {
      return false;
    }
  }

  private detachTcx(): void {
    this.options.pins?.delete(this.place.name);
    this.release();
  }

  private detachFilter(): void {
    deleteFilter(this.place.ifindex, this.place.direction, this.filter);
  }
}

/** Removes our filters from these interfaces, except those at `kept`. Returns whether there was one. @throws SystemError */
export function removeFilters(ifindexes: readonly number[], kept: readonly HookPlace[]): boolean {
  let removed = false;
  for (const ifindex of ifindexes) {
    for (const direction of ['ingress', 'egress'] as const) {
      for (const filter of filtersOf(ifindex, direction)) {
        const isOurs = filter.priority === PRIORITY && filter.name.startsWith(PREFIX);
        const isKept = kept.some(
          (place) =>
            place.ifindex === ifindex &&
            place.direction === direction &&
            filter.name === `${PREFIX}${place.name}`,
        );
        if (!isOurs || isKept) continue;
        deleteFilter(ifindex, direction, filter);
        removed = true;
      }
    }
  }
  return removed;
}
