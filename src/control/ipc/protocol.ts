/**
 * The requests of `weft status`, `weft doctor`, `weft cleanup` and `weft run --takeover` to a running Weft process: one
 * JSON line each way over a Unix socket. `weft capture` gets a stream behind the answer (capture/session.ts).
 */

import { join } from 'node:path';

/**
 * `check`: runs the obstacle checks first. `brief`: leaves out most peers of very many (node/brief.ts). An older Weft
 * ignores both: it answers with its last results, and all peers.
 */
export type ControlRequest =
  | { command: 'status'; check?: true; brief?: true }
  /** What `weft doctor` needs to know of the running Weft. The obstacle checks run first. */
  | { command: 'examine' }
  | { command: 'leave' }
  /**
   * Sends the dataplanes to the Unix socket at `path`, which a new Weft process has opened. `id` names this takeover; only
   * the latest one counts.
   */
  | { command: 'hand-over'; path: string; id: string }
  /** Ends this process after a handover; `pid` is that of the new one. */
  | { command: 'retire'; pid: number; id: string }
  /** The new process has failed. */
  | { command: 'resume'; id: string };

/** Ends with a line feed: the client keeps its side of the connection open, and ends the capture by closing it. */
export interface CaptureRequest {
  command: 'capture';
  /** An address or the name of a peer; without it, all peers are captured. */
  peer?: string;
  inner: boolean;
  outer: boolean;
  drops: boolean;
  snaplen: number;
  count?: number;
  format: 'pcapng' | 'text';
}

/** The figures at the end of a capture. `reason`: why Weft ended it; null if the client did, or `count` is reached. */
export interface CaptureSummary {
  packets: number;
  missed: number;
  reason: string | null;
}

/** In place of the length of a frame: the summary follows. */
export const LAST = 0xffffffff;

export type ControlResponse = { ok: true; result: unknown } | { ok: false; error: string };

export function socketPath(runDir: string): string {
  return join(runDir, 'weft.sock');
}
