/**
 * Publishes this node's annotations and clears its condition NetworkUnavailable: patches of nodes/<name>/status, one at a
 * time, that contain only what differs.
 */

import { Backoff } from '../../support/backoff.js';
import { info } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import { Outage } from '../outage.js';
import type { Annotation, Annotations } from './annotations.js';
import { ApiError, explainApiError } from './api-error.js';
import type { NodeRecord } from './node-record.js';
import type { KubernetesSession } from './session.js';
import type { KubernetesTiming } from './timing.js';

/** flannel's words. */
const FAILED_CONDITION = 'CompleteLease execute error err: ';

export class Publisher {
  private readonly session: KubernetesSession;
  /** Whether to clear the condition NetworkUnavailable. */
  private readonly clearCondition: boolean;
  private readonly timing: KubernetesTiming;
  private desired: Annotations = {};
  private ready = false;
  /** uid of the Node whose condition was cleared. */
  private clearedUid: string | undefined;
  private lastPatchAt = Number.NEGATIVE_INFINITY;
  private readonly failures = new Outage();
  private checkPending = false;
  private wake = (): void => {};

  constructor(session: KubernetesSession, clearCondition: boolean, timing: KubernetesTiming) {
    this.session = session;
    this.clearCondition = clearCondition;
    this.timing = timing;
  }

  /** Publishes the annotations, retrying as long as flannel does. @throws UserError when the time is up */
  async publish(desired: Annotations, signal: AbortSignal): Promise<void> {
    this.desired = desired;
    const deadline = performance.now() + this.timing.acquireMs;
    for (;;) {
      try {
        await this.patchAnnotations(signal);
        return;
      } catch (failure) {
        signal.throwIfAborted();
        const error = ApiError.from(failure);
        const reason = explainApiError(error, 'patch', 'nodes/status');
        const waitMs = Math.max(this.timing.acquireRetryMs, error.retryAfterMs);
        if (performance.now() + waitMs > deadline) {
          throw new UserError(
            `timeout contacting kube-api, failed to patch node "${this.session.node}". Error: ${reason}`,
          );
        }
        this.failures.report(this.failedPatch + reason, this.failedPatch);
        await this.session.client.pause(waitMs, signal);
        signal.throwIfAborted();
      }
    }
  }

  /** Sets the annotations to publish from now on. */
  update(desired: Annotations): void {
    this.desired = desired;
    this.check();
  }

  /** Records that this node forwards, so that the condition may be cleared. */
  markReady(): void {
    this.ready = true;
    this.check();
  }

  /** Makes `run` compare the node object with the desired annotations. */
  check(): void {
    this.checkPending = true;
    this.wake();
  }

  /** Publishes what differs until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.timing.backoff);
    let waitMs = 0;
    signal.addEventListener('abort', () => this.wake(), { once: true });
    while (!signal.aborted) {
      await this.checkRequested(signal);
      this.checkPending = false;
      if (this.differences().length === 0 && !this.conditionDue) continue;
      // When all nodes lose their annotations at once, their patches are spread.
      const spreadMs = Math.random() * this.timing.patchPauseMs;
      const pauseMs = this.lastPatchAt + this.timing.patchPauseMs - performance.now();
      await this.session.client.pause(Math.max(waitMs, pauseMs, spreadMs), signal);
      if (signal.aborted) return;
      waitMs = 0;
      try {
        if (await this.patchAnnotations(signal)) this.check();
        else if (this.conditionDue) await this.patchCondition(signal);
        backoff.reset();
      } catch (failure) {
        if (signal.aborted) return;
        const error = ApiError.from(failure);
        waitMs = backoff.next(error.retryAfterMs);
        const reason = explainApiError(error, 'patch', 'nodes/status');
        const words = this.differences().length > 0 ? this.failedPatch : FAILED_CONDITION;
        this.failures.report(words + reason, words);
        this.check();
      }
    }
  }

  private checkRequested(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
      if (this.checkPending || signal.aborted) resolve();
    });
  }

  private get record(): NodeRecord | undefined {
    return this.session.reflector.nodes.get(this.session.node);
  }

  private get conditionDue(): boolean {
    const { record, ready, clearCondition, clearedUid } = this;
    if (!ready || !clearCondition || record === undefined) return false;
    return clearedUid !== record.uid || record.networkUnavailable !== 'False';
  }

  private differences(): [Annotation, string][] {
    const { record, desired } = this;
    if (record === undefined) return [];
    const entries = Object.entries(desired) as [Annotation, string][];
    return entries.filter(([name, value]) => record.annotations[name] !== value);
  }

  /** Returns false when nothing differs. */
  private async patchAnnotations(signal: AbortSignal): Promise<boolean> {
    const differences = this.differences();
    if (differences.length === 0) return false;
    const annotations = differences.map(([name, value]) => [this.session.prefix + name, value]);
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
    this.clearedUid = uid;
  }

  private async patch(body: object, signal: AbortSignal): Promise<void> {
    const path = `/api/v1/nodes/${encodeURIComponent(this.session.node)}/status`;
    this.lastPatchAt = performance.now();
    this.session.reflector.learn(await this.session.client.patch(path, JSON.stringify(body), signal));
  }

  private get failedPatch(): string {
    return `Failed to patch node "${this.session.node}": `;
  }
}
