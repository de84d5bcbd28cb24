/** Changes that other programs make to Weft's state, and their repair. */

import type { Test } from 'tap';
import { ipBatch, sysctl } from '../../../lab/ip.js';
import type { LabNode } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { type Counters, risen, statusOf } from './state.js';
import { Stopwatch } from './stopwatch.js';

/** The time that Weft promises for a repair. */
const REPAIRED_WITHIN_MS = 2000;

/** A change on a node, and the repairs that are counted for it. */
export interface Harm {
  what: string;
  /** Lines for `ip -batch`. */
  commands?: string[];
  /** Below /proc/sys. */
  settings?: Record<string, number>;
  counted: Record<string, number>;
}

/** Makes the change, waits for the former state and its count, and asserts the promised time. */
export async function doHarm(
  t: Test,
  { node, ...weft }: { readonly node: LabNode; readonly runDir: string },
  { commands = [], settings = {}, counted }: Harm,
  whole: () => Promise<unknown>,
  family: 'ipv4' | 'ipv6' = 'ipv4',
): Promise<void> {
  const repairs = async (): Promise<Counters> => {
    const status = await statusOf(weft);
    return family === 'ipv6' ? (status.ipv6?.repairs ?? {}) : status.repairs;
  };
  const wanted = await whole();
  const before = await repairs();
  const counts = async () => risen(before, await repairs());
  await ipBatch(node.netns, commands);
  await sysctl(node.netns, settings);
  const stopwatch = new Stopwatch();
  const repaired = async () =>
    JSON.stringify(await whole().catch(() => null)) === JSON.stringify(wanted) &&
    Object.keys(await counts()).length > 0;
  const inTime = () => stopwatch.elapsedMs <= stopwatch.allowedMs(REPAIRED_WITHIN_MS);
  await until('the wanted state', async () => (await repaired()) || !inTime(), { timeoutMs: 60_000 });
  stopwatch.stop(t, REPAIRED_WITHIN_MS, 'repaired');
  t.strictSame(await whole(), wanted, 'the former state');
  t.strictSame(await counts(), counted, 'counted');
}
