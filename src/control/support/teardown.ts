/** What has to be undone when Weft stops, in the reverse order of the start. */

type Step = () => Promise<void> | void;

export class Teardown {
  private readonly steps: Step[] = [];

  /** Adds a step that runs before those added earlier. */
  defer(step: Step): void {
    this.steps.push(step);
  }

  /** Runs every step, each even if another one fails. @throws the first error, once all steps have run */
  async run(): Promise<void> {
    const errors: unknown[] = [];
    for (const step of this.steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
