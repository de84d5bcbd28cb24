/**
 * One run of `weft capture`: from the request to the last byte. It starts the recording in the dataplanes, turns the fast
 * path off for the captured peers, and sends what was recorded to the client. At the end it undoes everything.
 *
 * The client gets one JSON line, then frames: a length (u32, little-endian) and so many bytes of the capture. The length
 * LAST precedes one JSON line with the figures. The client ends the capture by closing its side of the connection.
 */

import type { Socket } from 'node:net';
import { Capture, type CaptureNames, type Dataplane } from '../../dataplane/dataplane.js';
import { releaseGarbage } from '../../sys/heap.js';
import { familyOf, formatIp, type Ip, toUnderlay } from '../addresses/ip.js';
import type { CaptureRequest, CaptureSummary } from '../ipc/protocol.js';
import { LAST } from '../ipc/protocol.js';
import type { LeaseSource } from '../leases/source.js';
import type { FamilyTunnel } from '../node/family-tunnel.js';
import { info } from '../support/log.js';
import { UserError } from '../support/user-error.js';
import { findPeer, listed } from './target.js';

/** How often the records are taken from the rings. */
const PUMP_MS = 5;
/** Chunks that one turn takes at most, so that other work has its turn too. */
const MOST_CHUNKS = 16;
/** Bytes that wait for a slow client; beyond them the rings fill, and packets are missed. */
const MOST_PENDING = 16 * 1024 * 1024;
/** How long a client may take to read the rest. */
const REST_MS = 10_000;

/** What `weft status` shows of a capture. */
export interface CaptureStatus {
  seconds: number;
  /** The public IPs of the captured peer; null for all. */
  peers: string[] | null;
  packets: number;
  missed: number;
}

interface Part {
  tunnel: FamilyTunnel;
  dataplane: Dataplane;
  peer: Ip | undefined;
}

export class CaptureSession {
  private readonly parts: readonly Part[];
  private readonly capture: Capture;
  private readonly socket: Socket;
  private readonly peers: readonly Ip[] | undefined;
  private readonly started = performance.now();
  private readonly timer: NodeJS.Timeout;
  private finishing: Promise<void> | undefined;

  private constructor(parts: readonly Part[], capture: Capture, socket: Socket, peers: Ip[] | undefined) {
    this.parts = parts;
    this.capture = capture;
    this.socket = socket;
    this.peers = peers;
    this.timer = setInterval(() => this.pump(), PUMP_MS);
  }

  /** Starts a capture and answers the request. @throws UserError; then nothing is recorded */
  static async start(
    request: CaptureRequest,
    tunnels: readonly FamilyTunnel[],
    source: LeaseSource,
    socket: Socket,
  ): Promise<CaptureSession> {
    const leases = tunnels.flatMap(({ peers }) => peers.leases);
    const peers = request.peer === undefined ? undefined : await findPeer(request.peer, leases, source);
    const parts = tunnels.flatMap((tunnel): Part[] => {
      const peer = peers?.find((ip) => familyOf(ip) === familyOf(tunnel.own.publicIp));
      return peers !== undefined && peer === undefined ? [] : [{ tunnel, dataplane: tunnel.dataplane, peer }];
    });
    const notes: string[] = [];
    try {
      const sources = [];
      for (const [index, { tunnel, dataplane, peer }] of parts.entries()) {
        await tunnel.bypassFastPath(peer ?? 'all');
        if (tunnel.fastPath.status.on) notes.push(bypassText(tunnel, peer));
        notes.push(...(await directTexts(tunnel, peer)));
        const { inner, outer, drops, snaplen } = request;
        const filter = { inner, outer, drops, snaplen, peer: peer === undefined ? null : toUnderlay(peer) };
        const suffix =
          familyOf(tunnel.own.publicIp) === 'ipv6' && (index > 0 || tunnels.length > 1) ? '6' : '';
        sources.push(await dataplane.startCapture(filter, namesOf(tunnel, suffix)));
      }
      const capture = new Capture(sources, { format: request.format, count: request.count });
      const session = new CaptureSession(parts, capture, socket, peers);
      session.begin(notes);
      return session;
    } catch (error) {
      await undo(parts);
      if (error instanceof UserError) throw error;
      throw new UserError(`weft capture: ${(error as Error).message}; try again`);
    }
  }

  get status(): CaptureStatus {
    const { packets, missed } = this.capture;
    return {
      seconds: Math.floor((performance.now() - this.started) / 1000),
      peers: this.peers?.map(formatIp) ?? null,
      packets,
      missed,
    };
  }

  /** Resolves once nothing of the capture is left. */
  get ended(): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.destroyed) resolve(this.finishing);
      else this.socket.once('close', () => resolve(this.finishing));
    });
  }

  /** Ends the capture. `reason`: why, unless the client asked for it. Resolves once nothing is recorded any more. */
  end(reason?: string): Promise<void> {
    this.finishing ??= this.finish(reason);
    return this.finishing;
  }

  private begin(notes: readonly string[]): void {
    const { socket, capture } = this;
    const whose = this.peers === undefined ? 'all peers' : listed(this.peers);
    info(`weft capture: recording packets of ${whose}${notes.length > 0 ? `; ${notes.join('; ')}` : ''}`);
    socket.on('end', () => void this.end());
    socket.on('close', () => void this.end());
    socket.write(`${JSON.stringify({ ok: true, result: { notes } })}\n`);
    this.send(capture.begin());
    if (socket.readableEnded || socket.destroyed) void this.end();
  }

  private pump(): void {
    const { socket, capture } = this;
    const rebuilt = this.parts.find(({ tunnel, dataplane }) => tunnel.dataplane !== dataplane);
    if (rebuilt !== undefined) {
      void this.end(`${rebuilt.tunnel.plan.backend.device} is being set up again; start the capture again`);
      return;
    }
    for (let chunks = 0; chunks < MOST_CHUNKS && socket.writableLength < MOST_PENDING; chunks++) {
      const chunk = capture.read();
      if (chunk === undefined) break;
      this.send(chunk);
    }
    if (capture.isComplete) void this.end();
  }

  private send(bytes: Buffer): void {
    if (bytes.length === 0 || !this.socket.writable) return;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    this.socket.write(length);
    this.socket.write(bytes);
  }

  private async finish(reason: string | undefined): Promise<void> {
    const { socket, capture } = this;
    clearInterval(this.timer);
    await undo(this.parts);
    // The rings have the last packets.
    for (let chunk = capture.readRest(); chunk !== undefined; chunk = capture.readRest()) this.send(chunk);
    const { packets, missed } = capture;
    info(
      `weft capture: ended after ${packets} packets, ${missed} missed${reason === undefined ? '' : ` (${reason})`}`,
    );
    const last = capture.end();
    // The buffers of a slow client are garbage then.
    if (socket.destroyed) releaseGarbage();
    else socket.once('close', () => setImmediate(releaseGarbage));
    if (!socket.writable) return;
    this.send(last);
    const summary: CaptureSummary = { packets, missed, reason: reason ?? null };
    const mark = Buffer.alloc(4);
    mark.writeUInt32LE(LAST);
    socket.write(mark);
    socket.end(`${JSON.stringify(summary)}\n`);
    const timer = setTimeout(() => socket.destroy(), REST_MS);
    socket.once('close', () => clearTimeout(timer));
  }
}

/** Ends the recording and restores the fast path, which comes first: a shutdown starts no change later. */
async function undo(parts: readonly Part[]): Promise<void> {
  await Promise.allSettled(
    parts.flatMap(({ tunnel, dataplane }) => [tunnel.bypassFastPath(undefined), dataplane.endCapture()]),
  );
}

function bypassText(tunnel: FamilyTunnel, peer: Ip | undefined): string {
  const whose = peer === undefined ? 'all peers' : formatIp(peer);
  return `the fast path of ${tunnel.plan.backend.device} is off for ${whose} while the capture runs`;
}

/** Returns a note for each captured peer whose packets do not pass the tunnel. */
async function directTexts(tunnel: FamilyTunnel, peer: Ip | undefined): Promise<string[]> {
  if (!tunnel.plan.backend.followsRouting) return [];
  const peers = tunnel.peers.leases.filter(({ publicIp }) => peer === undefined || publicIp === peer);
  const direct = (await tunnel.peers.reconciler.status(peers, undefined)).filter(
    (one) => one.direct === true,
  );
  if (direct.length === 0) return [];
  const whose = peer === undefined ? `${direct.length} of ${peers.length} peers` : formatIp(peer);
  return [`${whose}: a direct route carries the packets past the tunnel, so the capture has none of them`];
}

function namesOf({ plan, own, address }: FamilyTunnel, suffix: string): CaptureNames {
  const { device, conf } = plan.backend;
  const at = `${formatIp(address.bound)} on ${plan.link.name}, UDP port ${conf.port}`;
  return {
    inner: {
      name: `inner${suffix}`,
      description: `${device}: packets of the pods of ${formatIp(own.publicIp)} on the overlay device`,
    },
    outer: {
      name: `outer${suffix}`,
      description: `${at}: datagrams of the tunnel; Weft has written their IP and UDP headers`,
    },
  };
}
