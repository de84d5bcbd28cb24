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

/** The result of one check; it stays if a later run fails or takes too long. */
class Watched {
  obstacles: readonly Obstacle[] = [];
  private readonly check: ObstacleCheck;
  private running = false;

  constructor(check: ObstacleCheck) {
    this.check = check;
  }

  /** Runs the check for all families unless it still runs. Never rejects. */
  async run(families: readonly FamilyFacts[], limitMs: number): Promise<void> {
    if (this.running) return;
    this.running = true;
    const work = Promise.all(families.map((facts) => this.check(facts)))
      .then((found) => {
        this.obstacles = found.flat();
      })
      .catch(() => {})
      .finally(() => {
        this.running = false;
      });
    const limit = deferred();
    const timer = setTimeout(limit.resolve, limitMs);
    await Promise.race([work, limit.promise]);
    clearTimeout(timer);
  }
}

export class ObstacleWatch {
  private readonly facts: () => FamilyFacts[];
  private readonly groups: readonly Watched[][];
  private readonly timers: NodeJS.Timeout[];
  private readonly announcer = new Announcer();
  private readonly limitMs: number;
  private closed = false;

  /** Runs every check now, then each group at its interval. `facts` returns what is known of each family at present. */
  constructor(groups: readonly CheckGroup[], facts: () => FamilyFacts[], limitMs = LIMIT_MS) {
    this.facts = facts;
    this.limitMs = limitMs;
    this.groups = groups.map(({ checks }) => checks.map((check) => new Watched(check)));
    this.timers = groups.map(({ everyMs }, index) => {
      const group = this.groups[index] ?? [];
      return setInterval(() => void this.run(group), everyMs).unref();
    });
    this.checkNow();
  }

  /** Runs every check, for example after a change of this node's lease. */
  checkNow(): void {
    for (const group of this.groups) void this.run(group);
  }

  /** The obstacles that the checks found last. */
  get obstacles(): readonly Obstacle[] {
    return this.announcer.present;
  }

  /** Ends the checks; a running one logs nothing any more. */
  close(): void {
    this.closed = true;
    for (const timer of this.timers) clearInterval(timer);
  }

  private async run(group: readonly Watched[]): Promise<void> {
    const families = this.facts();
    await Promise.all(group.map((watched) => watched.run(families, this.limitMs)));
    if (!this.closed) this.announcer.update(this.groups.flat().flatMap(({ obstacles }) => obstacles));
  }
}

/** Runs each check once, for `weft doctor`. A check that fails has no obstacles. */
export async function findObstacles(
  checks: readonly ObstacleCheck[],
  families: readonly FamilyFacts[],
): Promise<Obstacle[]> {
  const watched = checks.map((check) => new Watched(check));
  await Promise.all(watched.map((one) => one.run(families, LIMIT_MS)));
  return watched.flatMap(({ obstacles }) => [...obstacles]);
}
