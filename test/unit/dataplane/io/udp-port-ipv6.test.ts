// The underlay port over IPv6. Loopback has one address of it, so the two ends have different ports.

import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { Ipv6SockaddrCodec } from '../../../../src/dataplane/io/sockaddr-codec.js';
import { UdpPort } from '../../../../src/dataplane/io/udp-port.js';
import { openTxSockets, openUdpSockets, setGro } from '../../../../src/dataplane/io/udp-socket.js';
import { Ipv6Addresses } from '../../../../src/dataplane/tunnel/ipv6-addresses.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { close } from '../../../../src/sys/ffi.js';
import { concat, hex, ipv6, pattern, toHex } from '../../../support/bytes.js';
import { tcpFrame } from '../../../support/frames.js';
import { freePort } from '../../../support/free-port.js';
import { Kit } from '../../../support/kit.js';
import { naiveSegments, withPartialChecksum } from '../../../support/reference.js';

const LOOPBACK = '::1';
const VXLAN = hex('0800000000000100');
const RECEIVES = 8;

interface End {
  kit: Kit;
  port: UdpPort;
  addresses: Ipv6Addresses;
  /** The number of ::1. */
  loopback: number;
}

/** A port on `own` that sends to `peer`. */
function end(t: Test, own: number, peer: number, gso: boolean): End {
  const kit = new Kit(64, 65_700, UdpPort.footprint(RECEIVES));
  const addresses = new Ipv6Addresses();
  const [fd] = openUdpSockets(ipv6(LOOPBACK), own, 1);
  const txSockets = openTxSockets(ipv6(LOOPBACK));
  t.teardown(() => {
    for (const opened of [fd, ...txSockets]) close(opened);
  });
  if (gso) setGro(fd, true);
  const codec = new Ipv6SockaddrCodec(kit.arena, addresses);
  const tunnel = { tunnelLength: VXLAN.length, linkLength: ETHERNET_LENGTH, kernelPeers: true };
  const port = new UdpPort(
    kit.arena,
    {
      fd,
      txSockets,
      codec,
      port: peer,
      ...tunnel,
      maxRun: gso ? 64 : 1,
      receiveMessages: RECEIVES,
      maxBatch: 64,
    },
    kit.checksum,
    kit.counters,
    () => {},
  );
  return { kit, port, addresses, loopback: addresses.add(ipv6(LOOPBACK)) };
}

async function ends(t: Test, gso: boolean): Promise<[End, End]> {
  const [a, b] = [await freePort(LOOPBACK), await freePort(LOOPBACK)];
  return [end(t, a, b, gso), end(t, b, a, gso)];
}

for (const gso of [false, true]) {
  const level = gso ? 'gso' : 'none';

  t.test(
    `level ${level}: UdpPort.receive returns the number of the peer and the traffic class`,
    async (t) => {
      const [ours, theirs] = await ends(t, gso);
      const packets = [pattern(100), pattern(100, 2), pattern(1), pattern(1452)];
      ours.kit.fill(packets, ours.loopback);
      ours.kit.batch.tos.set([3, 3, 0, 2]);
      ours.port.send(ours.kit.batch);
      theirs.port.receive(theirs.kit.batch);
      t.same(theirs.kit.packets().map(toHex), packets.map(toHex));
      t.same([...theirs.kit.batch.address.slice(0, 4)], Array(4).fill(theirs.loopback));
      t.same([...theirs.kit.batch.tos.slice(0, 4)], [3, 3, 0, 2]);
      t.match(ours.kit.counted(), { tx_packets: 4 });
    },
  );

  t.test(`level ${level}: UdpPort.receive returns a negative number for an unknown source`, async (t) => {
    const [ours, theirs] = await ends(t, gso);
    theirs.addresses.delete(theirs.loopback);
    theirs.addresses.add(ipv6('::2'));
    ours.kit.fill([pattern(100)], ours.loopback);
    ours.port.send(ours.kit.batch);
    theirs.port.receive(theirs.kit.batch);
    t.same([theirs.kit.batch.count, theirs.kit.batch.address[0]], [1, -1]);
  });

  t.test(
    `level ${level}: UdpPort.send sends a superpacket as its segments, from one port, with checksums`,
    async (t) => {
      const [own, udpPort] = [await freePort(LOOPBACK), await freePort(LOOPBACK)];
      const { kit, port, loopback } = end(t, own, udpPort, gso);
      const peer = createSocket('udp6');
      peer.bind(udpPort, LOOPBACK);
      await once(peer, 'listening');
      t.teardown(() => peer.close());
      const received: string[] = [];
      const sources: RemoteInfo[] = [];
      const whole = tcpFrame({ payload: pattern(60_000) });
      const expected = naiveSegments(whole, 1400).map((frame) => toHex(concat(VXLAN, frame)));
      const all = new Promise<void>((resolve) => {
        peer.on('message', (message, from) => {
          sources.push(from);
          if (received.push(toHex(message)) === expected.length) resolve();
        });
      });
      kit.fill([concat(VXLAN, withPartialChecksum(whole))], loopback);
      kit.batch.gsoSize[0] = 1400;
      port.send(kit.batch);
      await all;
      t.same(received, expected);
      t.same([...new Set(sources.map(({ address }) => address))], [LOOPBACK]);
      t.equal(new Set(sources.map(({ port: source }) => source)).size, 1);
      t.equal(kit.counted().tx_trains, gso ? 1 : undefined);
      t.notOk(kit.counted().tx_trains_replayed);
    },
  );
}

t.test('UdpPort.receive splits a GRO run into datagrams, each with the number of the peer', async (t) => {
  const [ours, theirs] = await ends(t, true);
  const packets = Array.from({ length: 40 }, (_, index) => pattern(index < 39 ? 1000 : 500, index));
  ours.kit.fill(packets, ours.loopback);
  ours.port.send(ours.kit.batch);
  t.match(ours.kit.counted(), { tx_packets: 40, tx_trains: 1 });
  theirs.kit.batch.clear();
  theirs.port.receive(theirs.kit.batch);
  t.same(theirs.kit.packets().map(toHex), packets.map(toHex));
  t.same([...theirs.kit.batch.address.slice(0, 40)], Array(40).fill(theirs.loopback));
});
