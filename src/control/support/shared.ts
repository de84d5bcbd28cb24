/** Shares the result of an expensive task among callers that want it at the same time. */

export class Shared<T> {
  private readonly task: () => Promise<T>;
  private running: Promise<T> | undefined;
  private next: Promise<T> | undefined;

  constructor(task: () => Promise<T>) {
    this.task = task;
  }

  /** Whether the task runs or will run. */
  get isBusy(): boolean {
    return this.running !== undefined || this.next !== undefined;
  }

  /**
   * Returns the result of a run that begins after this call. So no caller gets a result older than its question, and at
   * most one run is in progress.
   */
  get(): Promise<T> {
    if (this.next !== undefined) return this.next;
    if (this.running === undefined) return this.start();
    this.next = this.running.then(
      () => this.start(),
      () => this.start(),
    );
    return this.next;
  }

  private start(): Promise<T> {
    this.next = undefined;
    const run = this.task().finally(() => {
      if (this.running === run) this.running = undefined;
    });
    this.running = run;
    return run;
  }
}
