/** Header codec: the cost of one packet on the way out and on the way in, without system calls. */

import { COUNTER_NAMES } from '../../src/dataplane/counters.js';
import { Arena } from '../../src/dataplane/memory/arena.js';
import { PacketBatch } from '../../src/dataplane/memory/batch.js';
import { VxlanTunnel } from '../../src/dataplane/tunnel/vxlan.js';
import { hasVni, vniOf, writeVxlan } from '../../src/dataplane/wire/vxlan.js';
import { sink, suite } from './suite.js';

const BURST = 64;
const FRAME = 1464;
const PEER = { high: 0x0200, low: 2, address: 0x0a000002 };
const OWN = { high: 0x0200, low: 1 };

const arena = new Arena(1 << 20);
const batch = new PacketBatch(arena, BURST, 2048);
const tunnel = new VxlanTunnel(arena, new Float64Array(COUNTER_NAMES.length), {
  vni: 1,
  podMtu: 1450,
  peerCheck: 'strict',
  learning: false,
});
tunnel.fdb.set(PEER.high, PEER.low, PEER.address);
tunnel.handle({ type: 'own-mac', high: OWN.high, low: OWN.low });

/** A full batch of TCP frames between the two VTEPs, at the start of their slots or behind a VXLAN header. */
function fill(
  to: { high: number; low: number },
  from: { high: number; low: number },
  tunnelled: boolean,
): void {
  const { view } = arena;
  for (let i = 0; i < BURST; i++) {
    const at = batch.slot(i);
    const frame = tunnelled ? at + 8 : at;
    if (tunnelled) writeVxlan(view, at, 1);
    view.setUint16(frame, to.high);
    view.setInt32(frame + 2, to.low);
    view.setUint16(frame + 6, from.high);
    view.setInt32(frame + 8, from.low);
    view.setUint16(frame + 12, 0x0800);
    view.setUint8(frame + 14, 0x45);
    view.setUint16(frame + 16, FRAME - 14);
    view.setUint8(frame + 23, 6);
    view.setUint8(frame + 46, 0x50);
    view.setUint16(frame + 50, 0x1234);
  }
}

function reset(length: number): void {
  for (let i = 0; i < BURST; i++) {
    batch.set(i, batch.slot(i), length);
    batch.address[i] = PEER.address;
  }
  batch.count = BURST;
}

export function run(): void {
  const header = arena.reserve(8);
  suite('VXLAN header', {
    'write one': () => {
      writeVxlan(arena.view, header, 77);
      sink[0] += arena.bytes[header + 6];
    },
    'read one': () => {
      sink[0] += hasVni(arena.view, header) ? vniOf(arena.view, header) : 0;
    },
  });
  fill(PEER, OWN, false);
  suite(`a burst of ${BURST} frames`, {
    encapsulate: () => {
      reset(FRAME);
      tunnel.encapsulate(batch);
      sink[0] += batch.count;
    },
  });
  fill(OWN, PEER, true);
  suite(`a burst of ${BURST} datagrams`, {
    decapsulate: () => {
      reset(FRAME + 8);
      tunnel.decapsulate(batch);
      sink[0] += batch.count;
    },
  });
}
