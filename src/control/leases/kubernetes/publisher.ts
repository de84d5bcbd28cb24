/**
 * What this node publishes of itself: its annotations, and that its network is there. Patches of nodes/<name>/status with
 * nothing in them but what differs, and one at a time.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { Backoff } from '../../support/backoff.js';
import { info, warn } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import type { Annotation, Annotations } from './annotations.js';
import type { ApiClient } from './api-client.js';
import { ApiError, explainApiError } from './api-error.js';
import type { NodeRecord } from './node-record.js';
import type { NodeReflector } from './reflector.js';
import type { Timing } from './timing.js';

const REMIND_EVERY_MS = 60_000;
/** In flannel's words. */
const FAILED_CONDITION = 'CompleteLease execute error err: ';

export interface PublisherOptions {
  node: string;
  /** Of the annotations. */
  prefix: string;
  /** Whether the condition NetworkUnavailable is to be cleared. */
  clearCondition: boolean;
}

export class Publisher {
  private readonly client: ApiClient;
  private readonly reflector: NodeReflector;
  private readonly options: PublisherOptions;
  private readonly timing: Timing;
  private wanted: Annotations = {};
  private ready = false;
  /** The Node whose condition was cleared, by its uid. */
  private cleared: string | undefined;
  private lastPatchAt = Number.NEGATIVE_INFINITY;
  /** When which kind of failure was last named. */
  private readonly said = new Map<string, number>();
  private wake = (): void => {};
  private awake = false;

  constructor(client: ApiClient, reflector: NodeReflector, options: PublisherOptions, timing: Timing) {
    this.client = client;
    this.reflector = reflector;
    this.options = options;
    this.timing = timing;
  }

  /** Publishes now, trying for as long as flannel does. @throws UserError when the time is up */
  async publish(wanted: Annotations, signal: AbortSignal): Promise<void> {
    this.wanted = wanted;
    const deadline = performance.now() + this.timing.acquireMs;
    for (;;) {
      try {
        await this.patchAnnotations(signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        const reason = await this.explain(error as Error);
        const waitMs = Math.max(this.timing.acquireRetryMs, retryAfterMs(error));
        if (performance.now() + waitMs > deadline) {
          throw new UserError(
            `timeout contacting kube-api, failed to patch node "${this.options.node}". Error: ${reason}`,
          );
        }
        this.complain(this.failedPatch, reason);
        await delay(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  }

  /** What is to be published from now on; the annotations that differ follow. */
  want(wanted: Annotations): void {
    this.wanted = wanted;
    this.look();
  }

  /** The node forwards. */
  markReady(): void {
    this.ready = true;
    this.look();
  }

  /** Something may differ. */
  look(): void {
    this.awake = true;
    this.wake();
  }

  /** Publishes what differs, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.timing.backoff);
    let waitMs = 0;
    signal.addEventListener('abort', () => this.wake(), { once: true });
    while (!signal.aborted) {
      await this.sleep(signal);
      this.awake = false;
      if (!this.due) continue;
      // Nodes whose annotations went all at once do not come back all at once.
      const spreadMs = Math.random() * this.timing.patchPauseMs;
      const pauseMs = this.lastPatchAt + this.timing.patchPauseMs - performance.now();
      await delay(Math.max(waitMs, pauseMs, spreadMs), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      waitMs = 0;
      try {
        if (await this.patchAnnotations(signal)) this.look();
        else if (this.conditionDue) await this.patchCondition(signal);
        backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        waitMs = backoff.next(retryAfterMs(error));
        const reason = await this.explain(error as Error);
        this.complain(this.differences().length > 0 ? this.failedPatch : FAILED_CONDITION, reason);
        this.look();
      }
    }
  }

  private sleep(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
      if (this.awake || signal.aborted) resolve();
    });
  }

  private get record(): NodeRecord | undefined {
    return this.reflector.nodes.get(this.options.node);
  }

  private get due(): boolean {
    return this.differences().length > 0 || this.conditionDue;
  }

  private get conditionDue(): boolean {
    const { record, ready, options, cleared } = this;
    if (!ready || !options.clearCondition || record === undefined) return false;
    return cleared !== record.uid || record.networkUnavailable !== 'False';
  }

  private differences(): [Annotation, string][] {
    const { record, wanted } = this;
    if (record === undefined) return [];
    const entries = Object.entries(wanted) as [Annotation, string][];
    return entries.filter(([name, value]) => record.annotations[name] !== value);
  }

  /** False when nothing differs. */
  private async patchAnnotations(signal: AbortSignal): Promise<boolean> {
    const differences = this.differences();
    if (differences.length === 0) return false;
    const annotations = differences.map(([name, value]) => [this.options.prefix + name, value]);
    await this.patch({ metadata: { annotations: Object.fromEntries(annotations) } }, signal);
    info(`published ${differences.map(([name, value]) => `${name}=${value}`).join(' ')}`);
    return true;
  }

  private async patchCondition(signal: AbortSignal): Promise<void> {
    const uid = this.record?.uid;
    const now = new Date().toISOString().replace(/\.\d+/, '');
    const condition = {
      type: 'NetworkUnavailable',
      status: 'False',
      reason: 'FlannelIsUp',
      message: 'Flannel is running on this node',
      lastTransitionTime: now,
      lastHeartbeatTime: now,
    };
    await this.patch({ status: { conditions: [condition] } }, signal);
    this.cleared = uid;
  }

  private async patch(body: object, signal: AbortSignal): Promise<void> {
    const path = `/api/v1/nodes/${encodeURIComponent(this.options.node)}/status`;
    this.lastPatchAt = performance.now();
    this.reflector.learn(await this.client.patch(path, JSON.stringify(body), signal));
  }

  private get failedPatch(): string {
    return `Failed to patch node "${this.options.node}": `;
  }

  private async explain(error: Error): Promise<string> {
    if (error instanceof ApiError && error.status === 401) await this.client.reload();
    return explainApiError(error, 'patch', 'nodes/status');
  }

  private complain(what: string, reason: string): void {
    const now = performance.now();
    if (now - (this.said.get(what) ?? Number.NEGATIVE_INFINITY) < REMIND_EVERY_MS) return;
    this.said.set(what, now);
    warn(what + reason);
  }
}

function retryAfterMs(error: unknown): number {
  return error instanceof ApiError ? error.retryAfterMs : 0;
}
