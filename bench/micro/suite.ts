/** Runs a benchmark.js suite and prints one line per case, with the time of one operation. */

import Benchmark from 'benchmark';

/** Receives the results, so that no case can be optimised away. */
export const sink = new Float64Array(1);

/** Runs the cases one after the other; each is called repeatedly and must write to `sink`. */
export function suite(title: string, cases: Record<string, () => void>): void {
  process.stdout.write(`\n${title}\n`);
  const benchmarks = new Benchmark.Suite();
  for (const [name, run] of Object.entries(cases)) benchmarks.add(name, run);
  benchmarks.on('cycle', (event: Benchmark.Event) => {
    const { name, hz, stats } = event.target as Partial<Benchmark>;
    if (hz === undefined || stats === undefined) throw new Error(`${name} did not run`);
    const nanoseconds = (1e9 / hz).toFixed(1).padStart(9);
    process.stdout.write(
      `  ${(name ?? '').padEnd(44)}${nanoseconds} ns  ±${stats.rme.toFixed(1)} %  (${stats.sample.length} samples)\n`,
    );
  });
  benchmarks.run();
}
