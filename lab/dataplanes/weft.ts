/** Weft on a node: the `weft` command as an operator runs it. */

import { mkdir } from 'node:fs/promises';
import { exec } from '../exec.js';
import { type Lease, type NetConf, netConf, writeLeases, writeNetConf } from '../leases.js';
import type { LabNode } from '../node.js';
import type { Exit, LabProcess } from '../process.js';
import { WEFT_CLI } from '../world.js';
import type { Dataplane } from './dataplane.js';

export interface WeftOptions {
  /** Lease file to read; by default one with `leases` is written to the node's directory. */
  readonly leaseFile?: string;
  /** Leases for that file; by default those of all nodes of the lab. */
  readonly leases?: readonly Lease[];
  readonly netConf?: NetConf;
  /** Further flags, e.g. ['--offload', 'none']. */
  readonly flags?: readonly string[];
  /** Flags for Node itself, e.g. ['--trace-gc']. */
  readonly nodeFlags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** The compiled command of another checkout, by default this one's. */
  readonly cli?: string;
}

export interface WeftDataplane extends Dataplane {
  readonly process: LabProcess;
  readonly leaseFile: string;
  readonly netConfPath: string;
  readonly subnetFile: string;
  readonly runDir: string;
  /** Returns the parsed output of `weft status --json`. */
  status(): Promise<unknown>;
  /** Returns what `weft status` prints. */
  statusText(): Promise<string>;
  /** Stops it if it runs, and removes what it has left: device, routes, rules and files. */
  cleanUp(): Promise<void>;
  /** Ends it with a signal, by default SIGTERM, and returns how it exited. */
  end(signal?: NodeJS.Signals): Promise<Exit>;
}

/** The log line of a Weft process whose device, routes and workers are set up. */
export const READY = /\] ready: /;

/** Starts `weft run` on a node without waiting: for tests of start-up itself. Await ready(weft) before traffic. */
export async function spawnWeft(node: LabNode, options: WeftOptions = {}): Promise<WeftDataplane> {
  const leaseFile = options.leaseFile ?? `${node.dir}/leases.json`;
  const netConfPath = `${node.dir}/net-conf.json`;
  const subnetFile = `${node.dir}/subnet.env`;
  const runDir = `${node.dir}/run`;
  await mkdir(runDir, { recursive: true });
  if (options.leaseFile === undefined) {
    await writeLeases(leaseFile, options.leases ?? [node.lease(), ...node.peers()]);
  }
  await writeNetConf(netConfPath, options.netConf ?? netConf());
  const cli = options.cli ?? WEFT_CLI;
  const weft = [process.execPath, ...(options.nodeFlags ?? []), cli];
  const files = ['--lease-file', leaseFile, '--net-config-path', netConfPath, '--subnet-file', subnetFile];
  const running = node.start(
    [...weft, 'run', ...files, '--iface', node.iface, '--run-dir', runDir, ...(options.flags ?? [])],
    { name: `weft run on ${node.name}`, ...(options.env === undefined ? {} : { env: options.env }) },
  );
  const statusText = async (...flags: string[]) =>
    (await exec([process.execPath, cli, 'status', '--run-dir', runDir, ...flags])).stdout;
  return {
    kind: 'weft',
    node,
    process: running,
    leaseFile,
    netConfPath,
    subnetFile,
    runDir,
    pids: () => (running.ended === undefined ? [running.pid] : []),
    tail: (lines) => running.tail(lines),
    status: async () => JSON.parse(await statusText('--json')) as unknown,
    statusText: () => statusText(),
    cleanUp: async () => {
      const variables = Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`);
      await node.exec(['env', ...variables, process.execPath, cli, 'cleanup', '--run-dir', runDir]);
    },
    end: (signal) => running.stop(signal),
    stop: async () => {
      await running.stop();
    },
  };
}

/** Waits until Weft logs that it forwards. */
export async function ready(weft: WeftDataplane, timeoutMs = 30_000): Promise<void> {
  await weft.process.waitFor(READY, timeoutMs);
}

/** Starts `weft run` on a node and waits until it forwards. */
export async function startWeft(node: LabNode, options: WeftOptions = {}): Promise<WeftDataplane> {
  const weft = await spawnWeft(node, options);
  await ready(weft);
  return weft;
}
