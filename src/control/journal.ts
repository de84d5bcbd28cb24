/**
 * The journal in the run directory: what Weft created and what does not disappear with its process. `weft cleanup` and
 * the next start read it, even after a kill -9.
 */

import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type JournalState, parseJournal } from './journal-state.js';
import { deleteRoutes } from './kernel/ip.js';
import { OncePerKey } from './support/once.js';
import { LARGE_FILE, readTextFile, UnreadableFile } from './support/read-file.js';
import { Serial } from './support/serial.js';
import { TextFile } from './support/text-file.js';
import { UserError } from './support/user-error.js';

/** Problems of the file, by path. */
const problems = new OncePerKey();

/** The owner of the routes that an earlier run recorded. */
const EARLIER = 'earlier run';

function statePath(runDir: string): string {
  return join(runDir, 'state.json');
}

/** Collects the parts of the state from their owners and writes the file whenever it changes. */
export class Journal {
  /** state.json, which can be restored. */
  readonly file: TextFile;
  private readonly subnetFile: string;
  private readonly indexes = new Map<string, number | undefined>();
  private readonly routes = new Map<string, readonly string[]>();
  private readonly writes = new Serial();
  private written: JournalState | undefined;

  /** `earlier` has the routes in the journal of an earlier run; they stay recorded until `removeEarlierRoutes`. */
  constructor(runDir: string, subnetFile: string, earlier: readonly string[] = []) {
    this.file = new TextFile(statePath(runDir), 0o600);
    this.subnetFile = subnetFile;
    this.routes.set(EARLIER, earlier);
  }

  /** Records an overlay device. @throws UserError if the file cannot be written at the start */
  setDevice(name: string, index: number | undefined): Promise<void> {
    this.indexes.set(name, index);
    return this.write();
  }

  /**
   * Records all routes of one owner; call it before they are added and after they are deleted. A file that cannot be
   * written at run time does not delay the routes: packets matter more. OwnFiles writes it once it can.
   * @throws UserError if the file cannot be written at the start
   */
  setRoutes(owner: string, routes: readonly string[]): Promise<void> {
    this.routes.set(owner, routes);
    return this.write();
  }

  /** Deletes the routes of an earlier run that this run does not have. @throws UserError without `ip` */
  async removeEarlierRoutes(): Promise<void> {
    const earlier = this.routes.get(EARLIER) ?? [];
    this.routes.delete(EARLIER);
    const present = new Set([...this.routes.values()].flat());
    await deleteRoutes(earlier.filter((route) => !present.has(route)));
    await this.write();
  }

  /**
   * Deletes every recorded route, from the file too: equal routes that appear later belong to another program. A file
   * that cannot be written is left as it is. @throws UserError without `ip`
   */
  async removeRoutes(): Promise<void> {
    await deleteRoutes([...this.routes.values()].flat());
    this.routes.clear();
    await this.write().catch(() => {});
  }

  private write(): Promise<void> {
    return this.writes.run(async () => {
      const state: JournalState = {
        pid: process.pid,
        devices: [...this.indexes].map(([name, index]) => ({ name, index })),
        subnetFile: this.subnetFile,
        routes: [...new Set([...this.routes.values()].flat())],
      };
      if (isDeepStrictEqual(state, this.written)) return;
      try {
        await this.file.write(`${JSON.stringify(state)}\n`);
      } catch (error) {
        if (this.written === undefined) throw writeError(this.file.path, error as Error);
      }
      this.written = state;
    });
  }
}

function writeError(path: string, { message, code }: NodeJS.ErrnoException): UserError {
  const remedy = code === 'ENOSPC' || code === 'EDQUOT' ? 'make room' : 'check what is there';
  return new UserError(
    `--run-dir ${dirname(path)}: cannot write ${basename(path)} there: ${message}; ${remedy}, or choose another directory`,
  );
}

/** Returns the valid part of the state; undefined without a valid file. Ignored parts are logged. */
export async function readJournal(runDir: string): Promise<JournalState | undefined> {
  const path = statePath(runDir);
  try {
    const text = await readTextFile(path, LARGE_FILE);
    return parseJournal(text, (count) => problems.log(path, `${path}: ignoring ${count} invalid entries`));
  } catch (error) {
    const missing = error instanceof UnreadableFile && error.isMissing;
    if (!missing)
      problems.log(path, `${path}: ignoring the state of the last run: ${(error as Error).message}`);
    return undefined;
  }
}

export async function removeJournal(runDir: string): Promise<void> {
  await rm(statePath(runDir), { force: true });
}
