/** The running Weft, from the side of the new one that takes over from it (`weft run --takeover`). */

import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { discardHandover, type Handover, HandoverReceiver } from '../../dataplane/dataplane.js';
import { SystemError } from '../../sys/system-error.js';
import { ask, listeningOn, NotRunning } from '../ipc/client.js';
import { alreadyRuns, findWeftProcess } from '../kernel/tun-holders.js';
import { info } from '../support/log.js';
import { ownerOnly } from '../support/owner-only.js';
import { show, UserError } from '../support/user-error.js';

/** Time for the old process to answer the first question; it answers the later ones within the client's limit. */
const ANSWER_MS = 5000;
/** Time for the old process to close its socket after its answer. */
const GONE_MS = 2000;
const POLL_MS = 10;

export class Predecessor {
  private readonly runDir: string;
  private readonly pid: number | undefined;
  /** Names this takeover. */
  private readonly id = randomUUID();
  private handovers: Handover[] = [];
  private retired = false;
  /** Open until the end of the takeover: it shows the old process that this one exists. */
  private receiver: HandoverReceiver | undefined;

  private constructor(runDir: string, pid: number | undefined) {
    this.runDir = runDir;
    this.pid = pid;
  }

  /**
   * Finds the Weft process of this run directory. @throws UserError if it does not answer, or runs with another directory
   */
  static async find(runDir: string): Promise<Predecessor | undefined> {
    try {
      const status = (await ask(runDir, { command: 'status' }, ANSWER_MS)) as { pid?: number };
      return new Predecessor(runDir, status.pid);
    } catch (error) {
      const holder = findWeftProcess();
      if (!(error instanceof NotRunning)) throw unanswered(error as Error, holder?.pid);
      if (holder === undefined) return undefined;
      throw new UserError(`--takeover: ${alreadyRuns(holder)}`);
    }
  }

  /**
   * Asks for the dataplanes, by device; until `retire` or `giveBack` the old process changes nothing on this node. Both
   * processes forward from the start of the new threads on. @throws UserError
   */
  async receive(): Promise<ReadonlyMap<string, Handover>> {
    const { path } = this;
    await rm(path, { force: true });
    try {
      this.receiver = ownerOnly(() => new HandoverReceiver(path));
    } catch (error) {
      // Another new process has bound the path since.
      if (error instanceof SystemError && error.code === 'EADDRINUSE')
        throw new UserError('--takeover: another Weft takes over; check weft status');
      throw new UserError(`--run-dir ${this.runDir}: ${(error as Error).message}; check the directory`);
    }
    try {
      await ask(this.runDir, { command: 'hand-over', path, id: this.id });
      this.handovers = this.receiver.receive();
      // Another new process had the path meanwhile.
      if (this.handovers.length === 0) throw new UserError('another Weft takes over');
    } catch (error) {
      throw new UserError(`--takeover: ${(error as Error).message}; the running Weft goes on`);
    }
    return new Map(this.handovers.map((handover) => [handover.device, handover]));
  }

  /** Notes that a dataplane owns the files of a handover. */
  taken(origin: unknown): void {
    this.handovers = this.handovers.filter((handover) => handover !== origin);
  }

  /** Ends the old process: it stops its threads first, then answers. @throws UserError; then it goes on */
  async retire(): Promise<void> {
    await ask(this.runDir, { command: 'retire', pid: process.pid, id: this.id }).catch((error: Error) => {
      // The old process has closed its socket.
      const isOver = error instanceof NotRunning;
      const reason = isOver ? 'another Weft takes over, or the running one has ended' : error.message;
      throw new UserError(`--takeover: ${reason}; check weft status`);
    });
    this.retired = true;
    await this.discard();
    const deadline = performance.now() + GONE_MS;
    while ((await listeningOn(this.runDir)) !== undefined) {
      if (performance.now() > deadline)
        throw new UserError(`--takeover: ${show(this.runDir)}: the old Weft does not close its socket`);
      await delay(POLL_MS);
    }
    info(`took over from the running Weft${this.pid === undefined ? '' : ` (pid ${this.pid})`}`);
  }

  /** Ends a takeover that failed: the old process stays in charge. */
  async giveBack(): Promise<void> {
    await this.discard();
    if (!this.retired) await ask(this.runDir, { command: 'resume', id: this.id }).catch(() => {});
  }

  /**
   * Ends receiving, and closes the files that no dataplane has taken. Those that another new process was to get have come
   * here too.
   */
  private async discard(): Promise<void> {
    for (const handover of this.handovers.splice(0)) discardHandover(handover);
    if (this.receiver === undefined) return;
    this.receiver.close();
    this.receiver = undefined;
    await rm(this.path, { force: true });
  }

  private get path(): string {
    return join(this.runDir, 'next.sock');
  }
}

/** The error for a process that has the control socket and does not answer. */
function unanswered({ message }: Error, pid: number | undefined): UserError {
  if (pid === undefined) return new UserError(`--takeover: ${message}`);
  return new UserError(
    `--takeover: Weft (pid ${pid}) does not answer within ${ANSWER_MS / 1000} s, perhaps because of SIGSTOP; let it go on (kill -CONT ${pid}), or end it (kill -KILL ${pid}) and start this one again`,
  );
}
