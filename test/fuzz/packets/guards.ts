/** An arena with guard bytes around everything that is reserved in it, and around every packet of a case. */

import { Arena } from '../../../src/dataplane/memory/arena.js';

const GUARD = 0xa5;
const CACHE_LINE = 64;
/** Guard bytes behind a packet. */
const BEHIND = 64;

export class GuardedArena extends Arena {
  /** Pairs of offsets; `temporary` guards protect the buffers of one case. */
  private readonly permanent: number[] = [];
  private temporary: number[] = [];

  /** Reserves guard bytes before and directly behind the memory that the caller gets. */
  override reserve(size: number): number {
    const rounded = Math.ceil(size / CACHE_LINE) * CACHE_LINE;
    const start = super.reserve(rounded + 2 * CACHE_LINE);
    const at = start + CACHE_LINE;
    this.guard(this.permanent, start, at);
    this.guard(this.permanent, at + size, start + rounded + 2 * CACHE_LINE);
    return at;
  }

  /**
   * Guards `before` bytes in front of the memory from `from` to `to`, and bytes behind it. The guards end with `check`,
   * or with a buffer at the same place.
   */
  guardAround(from: number, to: number, before: number): void {
    const { temporary } = this;
    for (let i = 0; i < temporary.length; i += 2) {
      if (temporary[i] < to + BEHIND && temporary[i + 1] > from - before) temporary[i + 1] = temporary[i];
    }
    this.guard(this.temporary, from - before, from);
    this.guard(this.temporary, to, Math.min(to + BEHIND, this.bytes.length));
  }

  /** Returns a description of the first guard byte that was overwritten, and forgets the guards of this case. */
  check(): string | undefined {
    const damaged = this.damaged(this.permanent) ?? this.damaged(this.temporary);
    this.temporary = [];
    return damaged;
  }

  private guard(list: number[], from: number, to: number): void {
    this.bytes.fill(GUARD, from, to);
    list.push(from, to);
  }

  private damaged(list: readonly number[]): string | undefined {
    const { bytes } = this;
    for (let i = 0; i < list.length; i += 2) {
      for (let at = list[i]; at < list[i + 1]; at++) {
        if (bytes[at] !== GUARD)
          return `byte ${at} of the arena was overwritten; the guard is ${list[i]} to ${list[i + 1]}`;
      }
    }
    return undefined;
  }
}
