/**
 * Weft's own files: subnet.env and the content of the run directory. The kernel reports no removal by another program,
 * so Weft checks them once a second. That takes one `stat` per file and no process.
 */

import type { Repairs } from '../kernel/repairs.js';
import { info, warn } from '../support/log.js';
import { OncePerKey } from '../support/once.js';

const POLL_MS = 1000;
/** The shortest time between two log lines about restorations of one file. */
const REMIND_MS = 60_000;
/** A file that is restored in so many checks in a row has another owner. */
const CONTESTED = 3;

/** A file or socket that Weft restores. */
export interface OwnFile {
  readonly path: string;
  isIntact(): boolean | Promise<boolean>;
  /** Whether Weft itself could not write it, for lack of disk space for example. */
  readonly isUnwritten?: boolean;
  /** @throws if it cannot be restored now */
  restore(): Promise<void>;
}

interface KeptFile {
  kind: string;
  file: OwnFile;
  /** The number of latest checks that each restored it. */
  inARow: number;
  /** When a restoration was last logged, by `performance.now`. */
  loggedAt: number;
}

/** Checks files from its creation until it is closed. */
export class OwnFiles {
  /** Restored objects by kind, since the start: `subnetFile`, `runDir`. */
  readonly repairs: Repairs = {};
  private readonly files: KeptFile[] = [];
  private readonly failures = new OncePerKey();
  private readonly poll: NodeJS.Timeout;
  private checking: Promise<void> | undefined;
  private closed = false;
  /** Whether another process has the files now. */
  paused = false;

  constructor() {
    this.poll = setInterval(() => {
      this.checking ??= this.check().finally(() => {
        this.checking = undefined;
      });
    }, POLL_MS);
  }

  /** Keeps a file from now on; `kind` is the name under which repairs are counted. */
  keep(kind: 'subnetFile' | 'runDir', file: OwnFile): void {
    this.files.push({ kind, file, inARow: 0, loggedAt: Number.NEGATIVE_INFINITY });
  }

  /** Ends the checks; a restoration in progress ends first. Call it before the files are removed. */
  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.poll);
    await this.checking;
  }

  /** Restores what is missing or changed. A deleted run directory counts once, however many files it had. */
  async check(): Promise<void> {
    const restored = new Set<string>();
    for (const kept of this.files) {
      if (this.closed || this.paused) break;
      const { kind, file } = kept;
      const { path } = file;
      if (await file.isIntact()) {
        // A change of its content may have been written meanwhile.
        if (this.failures.clear(path)) info(`${path}: written`);
        kept.inARow = 0;
        continue;
      }
      const { isUnwritten = false } = file;
      try {
        await file.restore();
        this.failures.clear(path);
        if (isUnwritten) {
          info(`${path}: written`);
          continue;
        }
        restored.add(kind);
        logRestored(kept);
      } catch (error) {
        const what = isUnwritten
          ? 'it cannot be written'
          : 'another program removed or changed it, and it cannot be restored';
        this.failures.log(path, `${path}: ${what}: ${(error as Error).message}; retrying every second`);
      }
    }
    for (const kind of restored) this.repairs[kind] = (this.repairs[kind] ?? 0) + 1;
  }
}

/** Logs a restoration at most once a minute, but at once when it shows that another program has the file too. */
function logRestored(kept: KeptFile): void {
  const { path } = kept.file;
  const now = performance.now();
  kept.inARow++;
  if (kept.inARow !== CONTESTED && now - kept.loggedAt < REMIND_MS) return;
  kept.loggedAt = now;
  warn(
    kept.inARow < CONTESTED
      ? `${path}: another program removed or changed it; restored`
      : `${path}: another program keeps changing it, and Weft restores it every second; find and stop that program`,
  );
}
