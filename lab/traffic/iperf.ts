/** iperf3 from one pod to another. */

import { exec } from '../exec.js';
import type { Pod } from '../node.js';
import { LabProcess } from '../process.js';

export interface IperfOptions {
  readonly seconds?: number;
  /** Parallel streams. */
  readonly streams?: number;
  /** Both directions at once. */
  readonly bidirectional?: boolean;
  /** UDP with this payload per datagram; TCP by default. */
  readonly udpPayload?: number;
  /** UDP only: offered bits per second; 0 for as fast as possible. */
  readonly bitrate?: number | string;
  readonly port?: number;
}

export interface IperfResult {
  /** Received Gbit/s. */
  readonly gbits: number;
  /** Received Gbit/s of the other direction, with `bidirectional`. */
  readonly gbitsBack: number | undefined;
  readonly bytes: number;
  readonly seconds: number;
  /** Retransmitted TCP segments. */
  readonly retransmits: number;
  /** UDP datagrams sent and received. */
  readonly sent: number;
  readonly received: number;
}

interface Sum {
  readonly bytes?: number;
  readonly seconds?: number;
  readonly bits_per_second?: number;
  readonly retransmits?: number;
  readonly packets?: number;
  readonly lost_packets?: number;
}

interface Report {
  readonly error?: string;
  readonly end?: Readonly<Record<string, Sum>>;
}

/** Runs iperf3 between two pods: a server for one run, and the client once the server listens. */
export async function iperf(from: Pod, to: Pod, options: IperfOptions = {}): Promise<IperfResult> {
  const { seconds = 8, streams = 1, port = 5201 } = options;
  const udp = options.udpPayload !== undefined;
  const server = new LabProcess(['iperf3', '-s', '-1', '-p', `${port}`, '--forceflush'], {
    netns: to.netns,
    name: `iperf3 server in ${to.name}`,
  });
  try {
    await server.waitFor(/listening/);
    const argv = ['iperf3', '-J', '-c', to.address, '-p', `${port}`, '-t', `${seconds}`, '-P', `${streams}`];
    if (options.bidirectional === true) argv.push('--bidir');
    if (udp) argv.push('-u', '-b', `${options.bitrate ?? 0}`, '-l', `${options.udpPayload}`);
    const { stdout } = await exec(argv, { netns: from.netns, timeoutMs: (seconds + 30) * 1000 });
    return parse(stdout);
  } finally {
    await server.stop('SIGKILL');
  }
}

function parse(text: string): IperfResult {
  const report = JSON.parse(text) as Report;
  const end = report.end ?? {};
  const got = end.sum_received ?? end.sum;
  if (report.error !== undefined || got === undefined)
    throw new Error(`iperf3: ${report.error ?? 'no result'}`);
  const back = end.sum_received_bidir_reverse;
  const packets = got.packets ?? 0;
  return {
    gbits: (got.bits_per_second ?? 0) / 1e9,
    gbitsBack: back === undefined ? undefined : (back.bits_per_second ?? 0) / 1e9,
    bytes: (got.bytes ?? 0) + (back?.bytes ?? 0),
    seconds: got.seconds ?? 0,
    retransmits: end.sum_sent?.retransmits ?? 0,
    sent: packets,
    received: packets - (got.lost_packets ?? 0),
  };
}
