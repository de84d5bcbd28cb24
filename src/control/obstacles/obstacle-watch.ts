/** Runs the obstacle checks of the running node, and has their last results. */

import { deferred } from '../support/deferred.js';
import { Announcer } from './announcer.js';
import type { FamilyFacts, Obstacle, ObstacleCheck } from './obstacle.js';

/** Time limit of a check: one that hangs delays no other one. */
const LIMIT_MS = 20_000;

/** Checks that run equally often. */
export interface CheckGroup {
  checks: readonly ObstacleCheck[];
  everyMs: number;
}

/** Returns what is known of each family at present. */
type FactsOf = () => readonly FamilyFacts[];

/** The result of one check; it stays if a later run fails or takes too long. */
class Watched {
  obstacles: readonly Obstacle[] = [];
  private readonly check: ObstacleCheck;
  private readonly signal: AbortSignal;
  private running: Promise<void> | undefined;
  /** The run after the running one. */
  private next: Promise<void> | undefined;

  constructor(check: ObstacleCheck, signal: AbortSignal) {
    this.check = check;
    this.signal = signal;
  }

  /** Runs the check for all families unless it still runs. Never rejects. */
  async run(facts: FactsOf, limitMs: number): Promise<void> {
    if (this.running === undefined) await limited(this.start(facts), limitMs);
  }

  /** As `run`, but a check that still runs, and may have read an older state, runs once more. */
  async runAgain(facts: FactsOf, limitMs: number): Promise<void> {
    this.next ??= this.running?.then(() => {
      this.next = undefined;
      return this.running ?? this.start(facts);
    });
    await limited(this.next ?? this.start(facts), limitMs);
  }

  private start(facts: FactsOf): Promise<void> {
    const { check, signal } = this;
    this.running = Promise.all(signal.aborted ? [] : facts().map((family) => check(family, signal)))
      .then((found) => {
        this.obstacles = found.flat();
      })
      .catch(() => {})
      .finally(() => {
        this.running = undefined;
      });
    return this.running;
  }
}

/** Waits for work, but not longer than the limit. */
async function limited(work: Promise<void>, limitMs: number): Promise<void> {
  const limit = deferred();
  const timer = setTimeout(limit.resolve, limitMs);
  await Promise.race([work, limit.promise]);
  clearTimeout(timer);
}

export class ObstacleWatch {
  private readonly facts: FactsOf;
  private readonly groups: readonly Watched[][];
  private readonly timers: NodeJS.Timeout[];
  private readonly announcer = new Announcer();
  private readonly limitMs: number;
  private readonly closing = new AbortController();
  /** Resolves once every check has run. */
  readonly first: Promise<void>;

  /** Runs every check now, then each group at its interval. `facts` returns what is known of each family at present. */
  constructor(groups: readonly CheckGroup[], facts: FactsOf, limitMs = LIMIT_MS) {
    this.facts = facts;
    this.limitMs = limitMs;
    const { signal } = this.closing;
    this.groups = groups.map(({ checks }) => checks.map((check) => new Watched(check, signal)));
    this.timers = groups.map(({ everyMs }, index) => {
      const group = this.groups[index] ?? [];
      return setInterval(() => void this.run(group), everyMs).unref();
    });
    this.first = this.checkNow();
  }

  /** Runs every check on the present state, and waits for the results, but not longer than the limit. */
  async checkNow(limitMs = this.limitMs): Promise<void> {
    await Promise.all(
      this.groups.flat().map(async (one) => {
        await one.runAgain(this.facts, limitMs);
        this.announce();
      }),
    );
  }

  /** The obstacles that the checks found last. */
  get obstacles(): readonly Obstacle[] {
    return this.announcer.present;
  }

  /** Ends the checks and their commands; a running check logs nothing any more. */
  close(): void {
    this.closing.abort();
    for (const timer of this.timers) clearInterval(timer);
  }

  private async run(group: readonly Watched[]): Promise<void> {
    await Promise.all(group.map((one) => one.run(this.facts, this.limitMs)));
    this.announce();
  }

  private announce(): void {
    if (this.closing.signal.aborted) return;
    this.announcer.update(this.groups.flat().flatMap(({ obstacles }) => obstacles));
  }
}

/** Runs each check once, for `weft doctor`. A check that fails has no obstacles. */
export async function findObstacles(
  checks: readonly ObstacleCheck[],
  families: readonly FamilyFacts[],
): Promise<Obstacle[]> {
  // A command that hangs would keep the process alive.
  const closing = new AbortController();
  const watched = checks.map((check) => new Watched(check, closing.signal));
  await Promise.all(watched.map((one) => one.run(() => families, LIMIT_MS)));
  closing.abort();
  return watched.flatMap(({ obstacles }) => [...obstacles]);
}
