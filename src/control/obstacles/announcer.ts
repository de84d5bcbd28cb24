/** Logs each obstacle once when it appears and once when it disappears. */

import { info, warn } from '../support/log.js';
import type { Obstacle } from './obstacle.js';

export class Announcer {
  private last = new Map<string, Obstacle>();

  /** The obstacles of the last update. */
  get present(): readonly Obstacle[] {
    return [...this.last.values()];
  }

  /** Compares the present obstacles with those of the last update by their keys, and logs the differences. */
  update(obstacles: readonly Obstacle[]): void {
    const before = this.last;
    this.last = new Map(obstacles.map((obstacle) => [obstacle.key, obstacle]));
    for (const [key, { message }] of this.last) if (!before.has(key)) warn(message);
    for (const [key, { message }] of before) if (!this.last.has(key)) info(`no longer: ${message}`);
  }
}
