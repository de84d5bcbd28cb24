/** A queue of asynchronous tasks that run one after another. */
export class Serial {
  private last: Promise<unknown> = Promise.resolve();

  /**
   * Runs the task once all tasks queued before it have ended, also those that failed. The returned promise settles as the
   * task does. An error reaches that promise only: a caller that ignores the promise loses the error.
   */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.last.then(task);
    this.last = result.catch(() => {});
    return result;
  }

  /** Resolves once everything queued so far has ended. */
  async idle(): Promise<void> {
    await this.last;
  }
}
