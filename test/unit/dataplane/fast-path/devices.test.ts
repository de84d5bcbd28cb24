/**
 * The programs at real interfaces, for what a test run cannot show: superpackets, VLAN tags, and where frames go.
 *
 *     overlay ─ beyond      underlay ─ peer      sender ─ receiver (the joiner)
 *
 * Each is a veth pair. A frame that the programs do not take away arrives at `beyond`.
 */

import t, { type Test } from 'tap';
import { Hook } from '../../../../src/dataplane/fast-path/hook.js';
import { closePrograms, loadPrograms, type Programs } from '../../../../src/dataplane/fast-path/programs.js';
import { type FastPeer, Tables } from '../../../../src/dataplane/fast-path/tables.js';
import { NO_COUNTS } from '../../../../src/dataplane/tunnel/peer-counts.js';
import { ETHTOOL_STSO } from '../../../../src/sys/constants.js';
import { setFeature } from '../../../../src/sys/ethtool.js';
import { ipv4, mac, pattern, toHex, viewOf } from '../../../support/bytes.js';
import {
  datagramOf,
  frameOf,
  INNER_ETHERNET,
  OUTER_IP,
  OUTER_UDP,
  OWN_ADDRESS,
  PEER,
  PEER_ADDRESS,
  PORT,
  TCP_IN,
  UDP_IN,
  VNI,
  withBpf,
} from '../../../support/fast-path.js';
import { MAC_A, MAC_B, tagged, tcpFrame, udpFrame } from '../../../support/frames.js';
import { enterOwnNetwork, indexOf, run } from '../../../support/own-network.js';
import { PacketSocket, withVnetHeader } from '../../../support/packet-socket.js';
import { withPartialChecksum } from '../../../support/reference.js';

const BPF = withBpf();
const NETWORK = BPF.skip === false ? enterOwnNetwork() : BPF;
const UNDERLAY_MAC = '02:00:00:00:01:01';
const NEXT_HOP = '02:00:00:00:01:02';
const PAIRS = [
  ['overlay', 'beyond'],
  ['underlay', 'peer'],
  ['sender', 'receiver'],
] as const;

interface Bed {
  tables: Tables;
  /** Returns a socket at an interface. */
  at: (name: string, vnet?: boolean) => PacketSocket;
}

function tablesFor(t: Test, overlay: number, joiner: number): Tables {
  const tables = new Tables(1);
  t.teardown(() => tables.close());
  tables.setDevices(overlay, joiner);
  return tables;
}

function attach(name: keyof Programs, ifindex: number, programs: Programs): void {
  const place = { name, ifindex, direction: name === 'out' ? 'egress' : 'ingress' } as const;
  new Hook(place, { pins: undefined, attachment: 'clsact' }).attach(programs[name]);
}

/** Builds the interfaces and attaches the programs, with this entry for the peer. */
function bedFor(t: Test, peer: Partial<FastPeer> = {}): Bed {
  const macs: Record<string, string> = { overlay: MAC_A, underlay: UNDERLAY_MAC };
  for (const [name, other] of PAIRS) {
    const address = macs[name] === undefined ? '' : `address ${macs[name]} `;
    run(`ip link add ${name} ${address}type veth peer name ${other}`);
    t.teardown(() => run(`ip link delete ${name}`));
    for (const end of [name, other]) run(`ip link set dev ${end} addrgenmode none up`);
  }
  run(`ip address add ${OWN_ADDRESS}/24 dev underlay`);
  run(`ip neighbour add ${PEER_ADDRESS} lladdr ${NEXT_HOP} dev underlay nud permanent`);
  const overlay = indexOf('overlay');
  const tables = tablesFor(t, overlay, indexOf('sender'));
  const programs = loadPrograms(
    { vni: VNI, port: PORT, address: ipv4(OWN_ADDRESS), mac: mac(MAC_A), overlay },
    tables,
  );
  t.teardown(() => closePrograms(programs));
  tables.set([[{ ...PEER, ifindex: indexOf('underlay'), ...peer }, 0]]);
  attach('join', indexOf('receiver'), programs);
  attach('in', indexOf('underlay'), programs);
  attach('out', overlay, programs);
  const at = (name: string, vnet = false): PacketSocket => {
    const socket = new PacketSocket(indexOf(name), vnet);
    t.teardown(() => socket.close());
    return socket;
  };
  return { tables, at };
}

/** Returns whether a frame is a datagram to the peer. */
function isDatagram(frame: Uint8Array): boolean {
  return toHex(frame.slice(OUTER_IP + 16, OUTER_IP + 20)) === 'c0a84d02';
}

function isFrame(expected: Uint8Array): (frame: Uint8Array) => boolean {
  return (frame) => toHex(frame) === toHex(expected);
}

/** Returns a datagram as it arrives at the underlay interface. */
function arriving(inner: Uint8Array): Uint8Array {
  const datagram = datagramOf(inner);
  datagram.set(Buffer.from(UNDERLAY_MAC.replaceAll(':', ''), 'hex'));
  return datagram;
}

/** Bytes of Ethernet, IPv4 and TCP header. */
const HEADERS = 54;
/** 3000 bytes: three segments of 1000. */
const SUPERPACKET = withPartialChecksum(tcpFrame({ payload: pattern(3000) }));
const UDP = frameOf(MAC_A, MAC_B, 0x0800, UDP_IN);
const TCP = frameOf(MAC_A, MAC_B, 0x0800, TCP_IN);

t.test('a datagram leaves the underlay interface to the next hop', NETWORK, async (t) => {
  const { at } = bedFor(t);
  const peer = at('peer');
  const frame = udpFrame();
  at('overlay').send(frame);
  const datagram = peer.receive(isDatagram);
  t.equal(toHex(datagram.slice(0, OUTER_IP)), `${NEXT_HOP}${UNDERLAY_MAC}0800`.replaceAll(':', ''));
  t.equal(toHex(datagram.slice(INNER_ETHERNET)), toHex(frame));
});

t.test('an IPv6 packet leaves with the EtherType of IPv4', NETWORK, async (t) => {
  const { at } = bedFor(t);
  const peer = at('peer');
  const frame = udpFrame({ ipv6: true });
  at('overlay').send(frame);
  const datagram = peer.receive(isDatagram);
  t.equal(viewOf(datagram).getUint16(12), 0x0800);
  t.equal(toHex(datagram.slice(INNER_ETHERNET)), toHex(frame));
});

t.test(
  'a superpacket leaves an interface without TSO as segments, each with right lengths',
  NETWORK,
  async (t) => {
    const { at, tables } = bedFor(t, { maxFrame: 100, maxSuperpacket: 0xffffffff });
    setFeature('underlay', ETHTOOL_STSO, false);
    const peer = at('peer');
    at('overlay', true).send(withVnetHeader(SUPERPACKET, 1000));
    let payload = '';
    for (let segment = 0; segment < 3; segment++) {
      const datagram = peer.receive(isDatagram);
      const view = viewOf(datagram);
      t.equal(datagram.length, INNER_ETHERNET + 54 + 1000);
      t.equal(view.getUint16(OUTER_IP + 2), datagram.length - OUTER_IP);
      t.equal(view.getUint16(OUTER_UDP + 4), datagram.length - OUTER_UDP);
      t.equal(view.getUint16(INNER_ETHERNET + 16), 1040, 'the inner length');
      payload += toHex(datagram.slice(INNER_ETHERNET + 54));
    }
    t.equal(payload, toHex(pattern(3000)));
    t.same(tables.read(0), { ...NO_COUNTS, txPackets: 3, txBytes: SUPERPACKET.length + 2 * HEADERS });
  },
);

for (const [kind, frame, headers] of [
  ['TCP with timestamps', tcpFrame({ payload: pattern(3001), tcpOptions: new Uint8Array(12).fill(1) }), 66],
  ['TCP over IPv6', tcpFrame({ payload: pattern(3001), ipv6: true }), 74],
  ['UDP', udpFrame({ payload: pattern(3001) }), 42],
  ['UDP over IPv6', udpFrame({ payload: pattern(3001), ipv6: true }), 62],
] as const) {
  t.test(`a superpacket of ${kind} counts as its segments, each with all headers`, NETWORK, async (t) => {
    const { at, tables } = bedFor(t, { maxFrame: 100, maxSuperpacket: 0xffffffff });
    const peer = at('peer');
    at('overlay', true).send(withVnetHeader(withPartialChecksum(frame), 1000));
    peer.receive(isDatagram);
    t.same(tables.read(0), { ...NO_COUNTS, txPackets: 4, txBytes: frame.length + 3 * headers });
  });
}

t.test(
  'a superpacket goes to the forwarding threads where its segments may be too large',
  NETWORK,
  async (t) => {
    for (const maxSuperpacket of [0, SUPERPACKET.length - 1]) {
      await t.test(`the largest superpacket has ${maxSuperpacket} bytes`, async (t) => {
        const { at, tables } = bedFor(t, { maxSuperpacket });
        const beyond = at('beyond');
        at('overlay', true).send(withVnetHeader(SUPERPACKET, 1000));
        t.equal(beyond.receive((frame) => frame.length === SUPERPACKET.length).length, SUPERPACKET.length);
        t.same(tables.read(0), NO_COUNTS);
      });
    }
  },
);

t.test(
  'a superpacket of a peer arrives at its overlay device whole, and not at the joiner',
  NETWORK,
  async (t) => {
    const { at, tables } = bedFor(t, { maxSuperpacket: 0xffffffff });
    // The other end of the underlay is the peer, whose overlay device is `beyond`.
    run(`ip link set dev peer address ${NEXT_HOP}`);
    const theirs = tablesFor(t, indexOf('beyond'), indexOf('sender'));
    theirs.set([[{ ...PEER, ...mac(MAC_A), vtep: ipv4(OWN_ADDRESS) }, 0]]);
    const config = {
      vni: VNI,
      port: PORT,
      address: ipv4(PEER_ADDRESS),
      mac: mac(MAC_B),
      overlay: indexOf('beyond'),
    };
    const programs = loadPrograms(config, theirs);
    t.teardown(() => closePrograms(programs));
    attach('in', indexOf('peer'), programs);
    const beyond = at('beyond');
    at('overlay', true).send(withVnetHeader(SUPERPACKET, 1000));
    const frame = beyond.receive((frame) => viewOf(frame).getUint16(12) === 0x0800);
    t.equal(toHex(frame), toHex(SUPERPACKET));
    t.same(tables.read(0), { ...NO_COUNTS, txPackets: 3, txBytes: SUPERPACKET.length + 2 * HEADERS });
    t.same(theirs.read(0), { ...NO_COUNTS, rxPackets: 3, rxBytes: SUPERPACKET.length + 2 * HEADERS });
  },
);

t.test('a UDP packet arrives at the overlay device', NETWORK, async (t) => {
  const { at, tables } = bedFor(t);
  const overlay = at('overlay');
  at('peer').send(arriving(UDP));
  overlay.receive(isFrame(UDP));
  t.same(tables.read(0), { ...NO_COUNTS, rxPackets: 1, rxBytes: UDP.length });
});

t.test('a TCP segment arrives at the overlay device through the joiner', NETWORK, async (t) => {
  const { at } = bedFor(t);
  const [receiver, overlay] = [at('receiver'), at('overlay')];
  at('peer').send(arriving(TCP));
  receiver.receive(isFrame(TCP));
  overlay.receive(isFrame(TCP));
  t.pass();
});

t.test('a UDP packet does not pass the joiner', NETWORK, async (t) => {
  const { at } = bedFor(t);
  const receiver = at('receiver');
  const peer = at('peer');
  peer.send(arriving(UDP));
  peer.send(arriving(TCP));
  const first = receiver.receive((frame) => viewOf(frame).getUint16(12) === 0x0800);
  t.equal(toHex(first), toHex(TCP));
});

t.test('a datagram with a VLAN tag is not taken', NETWORK, async (t) => {
  const { at, tables } = bedFor(t);
  const overlay = at('overlay');
  const peer = at('peer');
  // The kernel removes the tag before the program runs.
  peer.send(tagged(arriving(UDP)));
  peer.send(arriving(UDP));
  overlay.receive(isFrame(UDP));
  t.equal(tables.read(0).rxPackets, 1);
});
