/** Pings between two pods for the whole test: round trips, and the time of each loss. */

import type { Pod } from '../../lab/node.js';
import { LabProcess } from '../../lab/process.js';

const EVERY_S = 0.01;
const REPLY = /^\[([\d.]+)\] .*icmp_seq=(\d+) .*time=([\d.]+) ms/gm;
/** ping counts in 16 bits. */
const SEQUENCES = 1 << 16;

export interface Loss {
  /** Unix seconds of the last reply before the lost requests, and of the first one after them. */
  readonly from: number;
  readonly to: number;
  readonly lost: number;
}

export class Pings {
  readonly losses: Loss[] = [];
  sent = 0;
  private readonly process: LabProcess;
  private last: { at: number; sequence: number } | undefined;

  constructor(from: Pod, to: Pod) {
    this.process = new LabProcess(['ping', '-n', '-D', '-i', `${EVERY_S}`, to.address], {
      netns: from.netns,
      name: 'ping',
    });
  }

  /** Reads the replies since the last call, at most two minutes of them; returns their round trips in ms, sorted. */
  take(): number[] {
    const trips: number[] = [];
    for (const [, at, number, time] of this.process.stdout.matchAll(REPLY)) {
      const reply = { at: Number(at), sequence: Number(number) };
      const { last } = this;
      if (last !== undefined && reply.at <= last.at) continue;
      if (last !== undefined) {
        const step = (reply.sequence - last.sequence + SEQUENCES) % SEQUENCES;
        if (step > SEQUENCES / 2) {
          this.takeBack();
          continue;
        }
        this.sent += step;
        if (step > 1) this.losses.push({ from: last.at, to: reply.at, lost: step - 1 });
      }
      this.last = reply;
      trips.push(Number(time));
    }
    return trips.sort((a, b) => a - b);
  }

  /** Takes back one loss: a reply that another one overtook was late, not lost. */
  private takeBack(): void {
    const loss = this.losses.pop();
    if (loss !== undefined && loss.lost > 1) this.losses.push({ ...loss, lost: loss.lost - 1 });
  }

  stop(): Promise<unknown> {
    return this.process.stop('SIGKILL');
  }
}
