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
  private readonly backoff: Backoff;
  /** Aborts the pause before a patch, and the patch. */
  private attempt = new AbortController();
  /** Whether the next patch comes without a pause. */
  private urgent = false;

  constructor(session: KubernetesSession, clearCondition: boolean, timing: KubernetesTiming) {
    this.session = session;
    this.clearCondition = clearCondition;
    this.timing = timing;
    this.backoff = new Backoff(timing.backoff);
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

  /**
   * Sets the annotations to publish from now on, and publishes them at once. A running patch is aborted: after a change of
   * this node's address its connection may stay silent.
   */
  update(desired: Annotations): void {
    this.desired = desired;
    this.urgent = true;
    this.backoff.reset();
    this.attempt.abort();
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
  async run(closing: AbortSignal): Promise<void> {
    const { backoff } = this;
    let waitMs = 0;
    closing.addEventListener('abort', () => this.wake(), { once: true });
    while (!closing.aborted) {
      await this.checkRequested(closing);
      this.checkPending = false;
      if (this.differences().length === 0 && !this.conditionDue) continue;
      this.attempt = new AbortController();
      const signal = AbortSignal.any([closing, this.attempt.signal]);
      if (!this.urgent) await this.pause(waitMs, signal);
      if (signal.aborted) continue;
      this.urgent = false;
      waitMs = 0;
      try {
        if (await this.patchAnnotations(signal)) this.check();
        else if (this.conditionDue) await this.patchCondition(signal);
        backoff.reset();
      } catch (failure) {
        if (signal.aborted) continue;
        const error = ApiError.from(failure);
        waitMs = backoff.next(error.retryAfterMs);
        const reason = explainApiError(error, 'patch', 'nodes/status');
        const words = this.differences().length > 0 ? this.failedPatch : FAILED_CONDITION;
        this.failures.report(words + reason, words);
        this.check();
      }
    }
  }

  /** Waits before a patch. When all nodes lose their annotations at once, their patches are spread. */
  private async pause(waitMs: number, signal: AbortSignal): Promise<void> {
    const spreadMs = Math.random() * this.timing.patchPauseMs;
    const pauseMs = this.lastPatchAt + this.timing.patchPauseMs - performance.now();
    await this.session.client.pause(Math.max(waitMs, pauseMs, spreadMs), signal);
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
    const { client, node, reflector } = this.session;
    const before = this.record;
    this.lastPatchAt = performance.now();
    const path = `/api/v1/nodes/${encodeURIComponent(node)}/status`;
    const patched = await client.patch(path, JSON.stringify(body), signal);
    // The watch may have delivered a later change before this answer.
    if (this.record === before) reflector.learn(patched);
  }

  private get failedPatch(): string {
    return `Failed to patch node "${this.session.node}": `;
  }
}
