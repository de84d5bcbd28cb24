/** Runs cases through one rig and compares with the model. */

import { COUNTER_NAMES } from '../../../src/dataplane/counters.js';
import { Random } from '../random.js';
import { type Case, formatCase } from './case.js';
import { checkDatagrams, checkPackets, Mismatch } from './check.js';
import { type Corpus, randomCase, randomOptions } from './generate.js';
import { NO_FAULTS } from './kernel.js';
import { Model } from './model.js';
import type { PacketOptions, PacketTarget } from './options.js';
import { Rig } from './rig.js';
import { hexOf } from './wire.js';

/** Cases of one rig, which has one set of options: enough to pay for its set-up. */
const CASES = 250;
/** Counters that a fault changes in a way that the model does not predict. */
const FAULT_COUNTERS = [
  'offload_step_downs',
  'tx_trains_replayed',
  'tx_drop_socket_full',
  'tx_drop_unreachable',
  'tx_drop_send_error',
];

/** A failure, with everything that its replay needs. */
export class PacketFailure extends Error {
  private readonly options: PacketOptions;
  private readonly failed: Case;

  constructor(reason: string, options: PacketOptions, failed: Case) {
    super(reason);
    this.options = options;
    this.failed = failed;
  }

  /** Returns the case as text, with as few inputs as possible. */
  get text(): string {
    const smallest = minimise(this.options, this.failed);
    const note = smallest === undefined ? '# it passes alone: replay the seed\n' : '';
    return `${note}options ${JSON.stringify(this.options)}\n${formatCase(smallest ?? this.failed)}`;
  }
}

/** Returns why a case fails on a new rig; undefined if it passes. */
export function replay(options: PacketOptions, cases: readonly Case[]): string | undefined {
  const bench = new Bench(options);
  try {
    for (const one of cases) bench.run(one);
    bench.comparePeers();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    bench.close();
  }
}

/** Returns a case that fails too, with as few inputs as possible; undefined if it passes on a new rig. */
export function minimise(options: PacketOptions, failed: Case): Case | undefined {
  if (replay(options, [failed]) === undefined) return undefined;
  let smallest = failed;
  for (const kind of ['frames', 'messages'] as const) {
    for (let i = smallest[kind].length - 1; i >= 0; i--) {
      const next = { ...smallest, [kind]: smallest[kind].filter((_: unknown, index: number) => index !== i) };
      if (replay(options, [next]) !== undefined) smallest = next;
    }
  }
  return smallest;
}

/** Runs the cases of one seed, at most `limit` inputs; returns the number of inputs. */
export function runSeed(target: PacketTarget, seed: number, corpus: Corpus, limit: number): number {
  const random = new Random(seed);
  const options = randomOptions(random, target);
  const bench = new Bench(options);
  let inputs = 0;
  try {
    const faulty = random.oneIn(4);
    for (let index = 0; index < CASES && inputs < limit; index++) {
      const next = randomCase(random, options, corpus);
      if (faulty) bench.inject(random);
      bench.run(next);
      inputs += next.frames.length + next.messages.length;
    }
    bench.comparePeers();
  } finally {
    bench.close();
  }
  return inputs;
}

export class Bench {
  private readonly rig: Rig;
  private readonly model: Model;
  private readonly options: PacketOptions;
  private readonly socketOf = new Map<string, number>();
  private readonly before: Float64Array;
  private faulty = false;

  constructor(options: PacketOptions) {
    this.options = options;
    this.rig = new Rig(options);
    this.model = new Model(options);
    this.before = this.rig.counters.slice();
  }

  /** Makes the kernel refuse some calls of the next case. */
  inject(random: Random): void {
    this.faulty = true;
    const { kernel } = this.rig;
    kernel.below = (limit) => random.below(limit);
    kernel.faults = random.oneIn(3)
      ? NO_FAULTS
      : {
          refuseSuperpackets: random.oneIn(3),
          deviceFullOneIn: random.oneIn(2) ? 5 : 0,
          sendOneIn: random.oneIn(2) ? 6 : 0,
          readOneIn: random.oneIn(2) ? 8 : 0,
        };
  }

  /** @throws PacketFailure */
  run(next: Case): void {
    try {
      this.forward(next);
    } catch (error) {
      throw new PacketFailure(
        error instanceof Mismatch ? error.message : String((error as Error).stack),
        this.options,
        next,
      );
    }
  }

  /** Compares the figures per peer. A refused superpacket or datagram never left, but may be counted here. */
  comparePeers(): void {
    for (const { address, txPackets, txBytes, rxPackets, rxBytes } of this.rig.peers()) {
      const figures = { txPackets, txBytes, rxPackets, rxBytes };
      const bytes = new DataView(new ArrayBuffer(typeof address === 'number' ? 4 : 16));
      [address].flat().forEach((word, index) => bytes.setInt32(4 * index, Number(word)));
      const key = hexOf(new Uint8Array(bytes.buffer));
      const expected = this.model.figures.get(key);
      const text = JSON.stringify(figures);
      // A peer of which packets were only dropped has a time.
      if (expected === undefined && txPackets + rxPackets === 0) continue;
      if (text !== JSON.stringify(expected))
        throw new PacketFailure(
          `figures of peer ${key}: ${text}, expected ${JSON.stringify(expected)}`,
          this.options,
          { frames: [], messages: [] },
        );
    }
  }

  close(): void {
    this.rig.close();
  }

  private forward({ frames, messages }: Case): void {
    const { rig, model, options } = this;
    const { kernel } = rig;
    rig.now += 1000;
    kernel.frames.push(...frames);
    kernel.messages.push(...messages);
    kernel.reads.length = 0;
    kernel.writes.length = 0;
    kernel.sent.length = 0;
    rig.forward();
    const damaged = rig.arena.check();
    if (damaged !== undefined) throw new Mismatch(damaged);
    model.next();
    model.forward(kernel.reads, messages);
    const out = checkDatagrams(kernel.sent, model.datagrams, options, this.socketOf);
    const device = checkPackets(kernel.writes, model.packets, options);
    this.compareCounters({ ...model.counters, ...out.counters }, device, out.missing);
  }

  private compareCounters(
    expected: Record<string, number>,
    device: Record<string, number>,
    missing: number,
  ): void {
    const all = { ...expected };
    for (const [name, value] of Object.entries(device)) all[name] = (all[name] ?? 0) + value;
    const { counters } = this.rig;
    let lost = 0;
    for (const [index, name] of COUNTER_NAMES.entries()) {
      const rise = counters[index] - this.before[index];
      this.before[index] = counters[index];
      if (FAULT_COUNTERS.includes(name)) {
        if (name.startsWith('tx_drop_')) lost += rise;
        if (!this.faulty && rise !== 0) throw new Mismatch(`${name} rose by ${rise} without a fault`);
      } else if (rise !== (all[name] ?? 0)) {
        throw new Mismatch(`${name} rose by ${rise} instead of ${all[name] ?? 0}`);
      }
    }
    if (lost !== missing)
      throw new Mismatch(`${missing} datagrams are missing, but ${lost} were counted as lost`);
  }
}
