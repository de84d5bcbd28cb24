/** sockperf: latency of a small message and its reply over TCP. */

import { exec } from '../exec.js';
import type { Pod } from '../node.js';
import { LabProcess } from '../process.js';
import { until } from '../until.js';

export interface Latency {
  /** Half a round trip as sockperf computes it, in microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** Runs `sockperf ping-pong --tcp` from one pod to another. */
export async function sockperf(
  from: Pod,
  to: Pod,
  { seconds = 8, bytes = 64, port = 11_111 }: { seconds?: number; bytes?: number; port?: number } = {},
): Promise<Latency> {
  const server = new LabProcess(['sockperf', 'server', '--tcp', '-i', to.address, '-p', `${port}`], {
    netns: to.netns,
    name: `sockperf server in ${to.name}`,
  });
  try {
    await until('sockperf listens', async () => {
      if (server.ended !== undefined) throw new Error(`sockperf server ended: ${server.tail()}`);
      const { stdout } = await exec(['ss', '-Hltn', 'sport', '=', `:${port}`], { netns: to.netns });
      return stdout.trim() !== '';
    });
    const { stdout } = await exec(
      [
        'sockperf',
        'ping-pong',
        '--tcp',
        '-i',
        to.address,
        '-p',
        `${port}`,
        '-m',
        `${bytes}`,
        '-t',
        `${seconds}`,
      ],
      { netns: from.netns, timeoutMs: (seconds + 30) * 1000 },
    );
    const percentile = (value: string) => {
      const found = new RegExp(`percentile ${value}\\s*=\\s*([\\d.]+)`).exec(stdout);
      if (found === null) throw new Error(`sockperf: no percentile ${value} in its output`);
      return Number(found[1]);
    };
    return { p50: percentile('50.000'), p99: percentile('99.000'), p999: percentile('99.900') };
  } finally {
    await server.stop('SIGKILL');
  }
}
