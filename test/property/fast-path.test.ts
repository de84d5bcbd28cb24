/**
 * The programs of the fast path against the userspace tunnel on random packets. A program makes what the tunnel makes, or
 * lets the packet continue unchanged. It accepts no datagram that kernel and tunnel would not accept.
 */

import t, { type Test } from 'tap';
import { VERDICT } from '../../src/dataplane/fast-path/helpers.js';
import type { FastPeer } from '../../src/dataplane/fast-path/tables.js';
import type { VxlanTunnel } from '../../src/dataplane/tunnel/vxlan.js';
import { build, type Flow, type Packet, randomFlow } from '../fuzz/packets/build.js';
import { OWN_MAC, PEERS } from '../fuzz/packets/options.js';
import { ETHERNET } from '../fuzz/packets/wire.js';
import { Random } from '../fuzz/random.js';
import { toHex, viewOf } from '../support/bytes.js';
import {
  datagramOf,
  INNER_ETHERNET,
  isPassed,
  OUTER_IP,
  OUTER_UDP,
  OWN_ADDRESS,
  PEER,
  PORT,
  ProgramRunner,
  VNI,
  VXLAN,
  withBpf,
  withHeaderChecksum,
} from '../support/fast-path.js';
import { delivered, hasOwnChecksum } from '../support/kernel-receive.js';
import { Kit } from '../support/kit.js';
import { slowSum } from '../support/reference.js';

const BPF = withBpf();
const FIXED_SEED = 1;
/** A new seed for each run: its share of the packets is new. */
const NEW_SEED = Math.floor(Date.now() / 1000);
const FRAMES = 5000;
const MUTATIONS = 10_000;
/** A test run takes frames of up to a page, less its headroom. */
const MAX_PAYLOAD = 2900;

/** Returns the MAC at `at` in the dataplane's form. */
function macAt(bytes: Uint8Array, at = 0): { high: number; low: number } {
  const view = viewOf(bytes);
  return { high: view.getUint16(at), low: view.getInt32(at + 2) };
}

const ALL_PEERS = PEERS.map(({ mac, v4 }, number): [FastPeer, number] => [
  { ...PEER, ...macAt(mac), vtep: viewOf(v4).getInt32(0), maxFrame: 4096 },
  number,
]);

/** A node: the programs, and the tunnel of a forwarding thread. */
class Node {
  readonly runner = new ProgramRunner({ peers: ALL_PEERS, mac: macAt(OWN_MAC) });
  readonly kit = new Kit(1, 4096);
  readonly tunnel: VxlanTunnel = this.kit.tunnel({ vni: VNI, peerCheck: 'strict', learning: false });

  constructor(t: Test) {
    t.teardown(() => this.runner.close());
    this.tunnel.handle({ type: 'own-mac', ...macAt(OWN_MAC) });
    for (const [{ high, low, vtep }] of ALL_PEERS) this.tunnel.fdb.set(high, low, vtep);
  }

  /** Returns the datagram of the tunnel, with its VXLAN header, destination and TOS; undefined if it drops the frame. */
  encapsulate(frame: Uint8Array): { data: string; address: number; tos: number } | undefined {
    const { kit } = this;
    kit.fill([frame]);
    this.tunnel.encapsulate(kit.batch);
    if (kit.batch.count === 0) return undefined;
    return { data: toHex(kit.packet(0)), address: kit.batch.address[0], tos: kit.batch.tos[0] };
  }

  /** Returns the inner frame of a datagram; undefined if the tunnel drops it. */
  decapsulate(payload: Uint8Array, source: number, tos: number): string | undefined {
    const { kit } = this;
    kit.fill([payload], source);
    kit.batch.tos[0] = tos;
    this.tunnel.decapsulate(kit.batch);
    return kit.batch.count === 0 ? undefined : toHex(kit.packet(0));
  }
}

function randomPacket(random: Random): Packet {
  return {
    payload: random.oneIn(4) ? random.below(MAX_PAYLOAD) : random.below(120),
    sequence: random.word(),
    identification: random.below(0x10000),
    flags: random.below(512),
  };
}

function randomFrame(random: Random, outbound: boolean): Uint8Array {
  const kind = random.oneIn(4) ? random.pick(['partial', 'wrong', 'none'] as const) : 'right';
  return build(random, randomFlow(random, ETHERNET, outbound), randomPacket(random), kind);
}

/** Inverts a bit, sets a byte or a word, or swaps two words, mostly in the headers. */
function mutate(random: Random, bytes: Uint8Array): void {
  const at = random.below(Math.min(bytes.length - 1, random.oneIn(4) ? bytes.length : 104));
  switch (random.below(5)) {
    case 0:
    case 1:
      bytes[at] ^= 1 << random.below(8);
      break;
    case 2:
      bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
      break;
    case 3:
      viewOf(bytes).setUint16(at, random.pick([0, 1, 8, 20, 28, 0x2000, 0x4000, 0xffff, bytes.length]));
      break;
    default: {
      const other = random.below(bytes.length - 1);
      const word = viewOf(bytes).getUint16(at);
      viewOf(bytes).setUint16(at, viewOf(bytes).getUint16(other));
      viewOf(bytes).setUint16(other, word);
    }
  }
}

/** Makes a kind of field right again, so that mutations reach the checks behind the first ones. */
function repair(random: Random, bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  if (random.oneIn(2)) view.setUint16(OUTER_IP + 2, bytes.length - OUTER_IP);
  if (random.oneIn(2)) view.setUint16(OUTER_UDP + 4, bytes.length - OUTER_UDP);
  return random.oneIn(6) ? bytes : withHeaderChecksum(bytes);
}

/** Cuts the end off, or adds bytes: frames are padded, and lengths lie. */
function resized(random: Random, bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(Math.max(90, bytes.length + random.range(-40, 20)));
  copy.set(bytes.subarray(0, copy.length));
  return copy;
}

/** A flow from a peer whose address the datagram has: nothing is wrong with it yet. */
function validDatagram(random: Random): Uint8Array {
  const flow: Flow = { ...randomFlow(random, ETHERNET, false), vlan: false, destination: OWN_MAC };
  const peer = random.pick(PEERS);
  if (random.oneIn(2)) Object.assign(flow, { ipOptions: new Uint8Array(0), fragment: 0x4000 });
  const inner = build(
    random,
    { ...flow, source: peer.mac },
    randomPacket(random),
    random.oneIn(6) ? 'none' : 'right',
  );
  const datagram = datagramOf(inner, random.oneIn(8) ? random.below(256) : flow.tos);
  datagram.set(peer.v4, OUTER_IP + 12);
  viewOf(datagram).setUint16(OUTER_UDP + 6, random.oneIn(4) ? random.range(1, 0xffff) : 0);
  return withHeaderChecksum(datagram);
}

/** Runs `check` for random inputs of two seeds. Reports the first failure with its seed and input. */
function forSeeds(t: Test, inputs: number, check: (random: Random) => string | undefined): void {
  for (const seed of [FIXED_SEED, NEW_SEED]) {
    const random = new Random(seed);
    for (let input = 0; input < inputs / 2; input++) {
      const failure = check(random);
      if (failure === undefined) continue;
      t.fail(`seed ${seed}, input ${input}: ${failure}`);
      return;
    }
  }
}

t.test('the encapsulate program sends what the tunnel sends', BPF, async (t) => {
  const node = new Node(t);
  let sent = 0;
  let passed = 0;
  forSeeds(t, FRAMES, (random) => {
    const frame = randomFrame(random, true);
    if (random.oneIn(4)) mutate(random, frame);
    const run = node.runner.out(frame);
    if (isPassed(run, frame)) {
      passed++;
      return undefined;
    }
    sent++;
    const view = viewOf(run.frame);
    const made = {
      data: toHex(run.frame.slice(VXLAN)),
      address: view.getInt32(OUTER_IP + 16),
      tos: view.getUint8(OUTER_IP + 1),
    };
    const isSame = JSON.stringify(made) === JSON.stringify(node.encapsulate(frame));
    const isWhole =
      run.result === VERDICT.redirect &&
      slowSum(run.frame.slice(OUTER_IP, OUTER_UDP)) === 0xffff &&
      view.getUint16(OUTER_IP + 2) === run.frame.length - OUTER_IP &&
      view.getUint16(OUTER_UDP + 4) === run.frame.length - OUTER_UDP;
    return isSame && isWhole ? undefined : `${toHex(frame)} became ${toHex(run.frame)}`;
  });
  t.ok(sent > FRAMES / 4 && passed > FRAMES / 10, `${sent} frames were sent and ${passed} passed`);
});

/** Returns why a datagram is handled wrongly; 'accepted' or 'passed' otherwise. */
function verdict(node: Node, datagram: Uint8Array): string {
  const run = node.runner.in(datagram);
  if (isPassed(run, datagram)) return 'passed';
  if (run.result !== VERDICT.redirect) return `result ${run.result}`;
  const inner = toHex(run.frame);
  if (inner !== toHex(datagram.slice(INNER_ETHERNET))) return `it became ${inner}`;
  const received = delivered(datagram, OWN_ADDRESS, PORT);
  if (received === undefined) return 'the kernel would not deliver it';
  if (viewOf(datagram).getUint16(OUTER_UDP + 6) !== 0 && !hasOwnChecksum(run.frame))
    return 'nothing checks its bytes';
  const expected = node.decapsulate(received.payload, received.source, received.tos);
  return inner === expected ? 'accepted' : `the tunnel makes ${expected} of it`;
}

t.test(
  'the decapsulate program accepts no datagram that kernel and tunnel would not accept',
  BPF,
  async (t) => {
    const node = new Node(t);
    const count = { accepted: 0, passed: 0 };
    forSeeds(t, MUTATIONS, (random) => {
      let datagram = validDatagram(random);
      for (let times = random.pick([1, 1, 1, 2, 3]); times > 0; times--) mutate(random, datagram);
      if (random.oneIn(6)) datagram = resized(random, datagram);
      datagram = repair(random, datagram);
      const result = verdict(node, datagram);
      if (result !== 'accepted' && result !== 'passed') return `${result}: ${toHex(datagram)}`;
      count[result]++;
      return undefined;
    });
    const { accepted, passed } = count;
    t.ok(
      accepted > MUTATIONS / 20 && passed > MUTATIONS / 4,
      `${accepted} were accepted and ${passed} passed`,
    );
  },
);

t.test('the decapsulate program accepts what a peer’s tunnel sends', BPF, async (t) => {
  const node = new Node(t);
  const count = { accepted: 0, passed: 0 };
  forSeeds(t, FRAMES, (random) => {
    const datagram = validDatagram(random);
    const result = verdict(node, datagram);
    if (result !== 'accepted' && result !== 'passed') return `${result}: ${toHex(datagram)}`;
    count[result]++;
    return undefined;
  });
  t.ok(count.accepted > FRAMES / 3, `${count.accepted} were accepted and ${count.passed} passed`);
});
