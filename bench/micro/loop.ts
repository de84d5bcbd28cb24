/** A round of the forwarding loop with a burst in each direction, between ports without devices; and what a capture adds. */

import { CONTROL_SIZE, HEAD, TAIL } from '../../src/dataplane/capture/layout.js';
import { Recorder } from '../../src/dataplane/capture/recorder.js';
import { createRing } from '../../src/dataplane/capture/ring-reader.js';
import { COUNTER_NAMES } from '../../src/dataplane/counters.js';
import { MORE, type Port } from '../../src/dataplane/io/port.js';
import { Arena } from '../../src/dataplane/memory/arena.js';
import { PacketBatch } from '../../src/dataplane/memory/batch.js';
import { VxlanTunnel } from '../../src/dataplane/tunnel/vxlan.js';
import { writeVxlan } from '../../src/dataplane/wire/vxlan.js';
import { Doorbell } from '../../src/dataplane/worker/doorbell.js';
import { Idle } from '../../src/dataplane/worker/idle.js';
import { ForwardingLoop } from '../../src/dataplane/worker/loop.js';
import { sink, suite } from './suite.js';

const BURST = 64;
const FRAME = 1464;
const PEER = { high: 0x0200, low: 2, address: 0x0a000002 };
const OWN = { high: 0x0200, low: 1 };

const arena = new Arena(1 << 20);
const outbound = new PacketBatch(arena, BURST, 2048);
const inbound = new PacketBatch(arena, BURST, 2048);
const replies = new PacketBatch(arena, 1, 2048);
const tunnel = new VxlanTunnel(arena, new Float64Array(COUNTER_NAMES.length), {
  vni: 1,
  podMtu: 1450,
  peerCheck: 'strict',
  learning: false,
});
tunnel.fdb.set(PEER.high, PEER.low, PEER.address);
tunnel.handle({ type: 'own-mac', high: OWN.high, low: OWN.low });

/** Writes the MAC addresses of a frame to arena offset `at`. */
function writeFrame(
  at: number,
  to: { high: number; low: number },
  from: { high: number; low: number },
): void {
  arena.view.setUint16(at, to.high);
  arena.view.setInt32(at + 2, to.low);
  arena.view.setUint16(at + 6, from.high);
  arena.view.setInt32(at + 8, from.low);
}

/** A port that always brings a full burst. */
function port(length: number): Port {
  return {
    receive(batch) {
      for (let i = 0; i < BURST; i++) {
        batch.set(i, batch.slot(i), length);
        batch.address[i] = PEER.address;
      }
      batch.count = BURST;
      return MORE;
    },
    send(batch) {
      sink[0] += batch.count;
    },
  };
}

export function run(): void {
  for (let i = 0; i < BURST; i++) {
    writeFrame(outbound.slot(i), PEER, OWN);
    writeVxlan(arena.view, inbound.slot(i), 1);
    writeFrame(inbound.slot(i) + 8, OWN, PEER);
  }
  const recorder = new Recorder({ view: arena.view, headerLength: 8, lowersTtl: false, maxInbound: BURST });
  tunnel.recorder = recorder;
  const doorbell = new Doorbell(Doorbell.create());
  const path = {
    overlay: port(FRAME),
    underlay: port(FRAME + 8),
    tunnel,
    outbound,
    inbound,
    replies,
    recorder,
  };
  const loop = new ForwardingLoop(path, doorbell, new Idle(arena, [doorbell.eventFd], 0));
  const ring = createRing();
  const control = new Int32Array(ring, 0, CONTROL_SIZE / 4);
  const captured = (snaplen: number) => (): void => {
    if (!recorder.on) recorder.begin(ring, { inner: true, outer: true, drops: false, snaplen, peer: null });
    loop.measureRound(1);
    recorder.publish();
    // The reader takes everything.
    Atomics.store(control, TAIL, Atomics.load(control, HEAD));
  };
  const off = (): void => {
    if (recorder.on) recorder.end();
    loop.measureRound(1);
  };
  suite(`a round of the loop, ${BURST} packets each way`, { 'without a capture': off });
  suite('the same round', { 'captured to 128 bytes': captured(128) });
  recorder.end();
  suite('the same round', { 'captured whole': captured(262_144) });
  recorder.end();
  doorbell.close();
}
