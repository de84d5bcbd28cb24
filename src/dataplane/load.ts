/**
 * The load of a worker: how long it was busy, and how many packets it took at once. The figures lie in the worker's row of
 * counters, behind those with a name. Control reads them without asking the worker.
 */

import { COUNTER_NAMES, type CounterRow } from './counters.js';

/** Buckets of a histogram of batch sizes: bucket n has batches of at most 2^n packets; the largest batch has 2048. */
export const BATCH_BUCKETS = 12;

/** Numbers of one direction: the buckets, and the packets of all batches. */
const BATCH_FIELDS = BATCH_BUCKETS + 1;

/** Index in a row: seconds in which the worker did not wait. */
export const BUSY_SECONDS = COUNTER_NAMES.length;
/** Indexes in a row: the first bucket of each direction. */
export const TX_BATCHES = BUSY_SECONDS + 1;
export const RX_BATCHES = TX_BATCHES + BATCH_FIELDS;

const ROW_LENGTH = RX_BATCHES + BATCH_FIELDS;

/** Bytes of a row in shared memory. */
export const COUNTER_ROW_SIZE = ROW_LENGTH * Float64Array.BYTES_PER_ELEMENT;

/** Returns a row that no other thread reads. */
export function privateRow(): CounterRow {
  return new Float64Array(ROW_LENGTH);
}

/** Counts a batch of at least one packet. `first` is TX_BATCHES or RX_BATCHES. */
export function countBatch(row: CounterRow, first: number, packets: number): void {
  row[first + 32 - Math.clz32(packets - 1)]++;
  row[first + BATCH_BUCKETS] += packets;
}

/** The batches of one direction. A superpacket counts as one packet. */
export interface BatchSizes {
  /** Batches of at most 2^index packets that are too large for the bucket before. */
  buckets: number[];
  /** Packets of all batches. */
  packets: number;
}

/** The load of one worker since its thread was created. */
export interface WorkerLoad {
  /** Seconds in which it did not wait for packets; at most a second old. */
  busySeconds: number;
  tx: BatchSizes;
  rx: BatchSizes;
}

function batchesAt(row: CounterRow, first: number): BatchSizes {
  const end = first + BATCH_BUCKETS;
  return { buckets: [...row.subarray(first, end)], packets: row[end] };
}

/** Returns the load of the worker that writes this row. */
export function loadOf(row: CounterRow): WorkerLoad {
  return { busySeconds: row[BUSY_SECONDS], tx: batchesAt(row, TX_BATCHES), rx: batchesAt(row, RX_BATCHES) };
}
