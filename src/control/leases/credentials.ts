/**
 * Credentials from files: read again when a file has changed, and after the server or the handshake refused them. Files
 * that are bad at that moment leave the last good credentials in use.
 */

import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { verbose } from '../support/log.js';
import { Once } from '../support/once.js';

/** Pause between two looks at the files while a retry waits. */
const LOOK_MS = 1000;

export interface Loaded<T> {
  value: T;
  /** The files that were read. */
  files: readonly string[];
}

export class Credentials<T> {
  private readonly load: () => Promise<Loaded<T>>;
  private loaded: Loaded<T>;
  private version: string;
  private refused = false;
  private readonly problem = new Once();

  private constructor(load: () => Promise<Loaded<T>>, loaded: Loaded<T>, version: string) {
    this.load = load;
    this.loaded = loaded;
    this.version = version;
  }

  /** @throws what `load` throws */
  static async open<T>(load: () => Promise<Loaded<T>>): Promise<Credentials<T>> {
    const loaded = await load();
    return new Credentials(load, loaded, await versionOf(loaded.files));
  }

  /** The files of the credentials in use. */
  get files(): readonly string[] {
    return this.loaded.files;
  }

  /** Returns the credentials for the next attempt. */
  async current(): Promise<T> {
    if (this.refused || (await this.changed())) await this.reload();
    return this.loaded.value;
  }

  /** Makes the next `current` read the files, even if they have not changed. */
  refuse(): void {
    this.refused = true;
  }

  /** Waits before a retry. After a refusal the wait ends early when a file changes. */
  async pause(waitMs: number, signal: AbortSignal): Promise<void> {
    const end = performance.now() + waitMs;
    for (let leftMs = waitMs; leftMs > 0 && !signal.aborted; leftMs = end - performance.now()) {
      await delay(Math.min(leftMs, LOOK_MS), undefined, { signal }).catch(() => undefined);
      if (this.refused && (await this.changed())) return;
    }
  }

  private async changed(): Promise<boolean> {
    return (await versionOf(this.loaded.files)) !== this.version;
  }

  private async reload(): Promise<void> {
    const { files } = this.loaded;
    // Before the files are read: a change during the reading leads to one more.
    const version = await versionOf(files);
    try {
      this.loaded = await this.load();
      this.version = version;
      if (this.loaded.files.join() !== files.join()) this.version = await versionOf(this.loaded.files);
      this.refused = false;
      this.problem.clear();
      verbose(1, `read the credentials again: ${this.loaded.files.join(', ')}`);
    } catch (error) {
      // The next attempt reads the files again; the pause before it ends when they change.
      this.version = version;
      this.refused = true;
      this.problem.log(`${(error as Error).message}; the last valid credentials stay in use`);
    }
  }
}

/** Returns a text that differs when one of the files was written or replaced. */
async function versionOf(files: readonly string[]): Promise<string> {
  const versions = files.map(async (path) => {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [ino, size, mtimeNs, ctimeNs].join();
  });
  const results = await Promise.allSettled(versions);
  return results.map((result) => (result.status === 'fulfilled' ? result.value : 'missing')).join(' ');
}
