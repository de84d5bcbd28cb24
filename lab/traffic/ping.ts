/** ping, counted and timed. */

import { exec } from '../exec.js';

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  /** Milliseconds; NaN without a reply. */
  readonly min: number;
  readonly avg: number;
  readonly max: number;
}

export interface PingOptions {
  readonly count?: number;
  /** Seconds between two requests. */
  readonly interval?: number;
  /** Seconds to wait for the last reply. */
  readonly wait?: number;
  /** Payload bytes. */
  readonly size?: number;
  /** Sets DF: a packet that is too large is refused, not fragmented. */
  readonly dontFragment?: boolean;
  /** Type of service, ECN included. */
  readonly tos?: number;
}

/** Pings an address from a namespace. Lost replies are a result, not an error. */
export async function ping(netns: string, address: string, options: PingOptions = {}): Promise<PingResult> {
  const { count = 3, interval = 0.05, wait = 2 } = options;
  const argv = ['ping', '-n', '-q', '-c', `${count}`, '-i', `${interval}`, '-W', `${wait}`];
  if (options.size !== undefined) argv.push('-s', `${options.size}`);
  if (options.dontFragment === true) argv.push('-M', 'do');
  if (options.tos !== undefined) argv.push('-Q', `${options.tos}`);
  // ping exits with 1 if replies are missing, and with 2 if it cannot send.
  const { stdout } = await exec(['sh', '-c', '"$@"; [ $? -le 1 ]', 'ping', ...argv, address], { netns });
  const counts = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
  const times = /= ([\d.]+)\/([\d.]+)\/([\d.]+)/.exec(stdout);
  if (counts === null) throw new Error(`ping ${address}: cannot read its output: ${stdout.trim()}`);
  return {
    sent: Number(counts[1]),
    received: Number(counts[2]),
    min: Number(times?.[1] ?? Number.NaN),
    avg: Number(times?.[2] ?? Number.NaN),
    max: Number(times?.[3] ?? Number.NaN),
  };
}
