// Messages that no honest peer sends: a sender with CAP_NET_RAW on a virtual link chooses any size of datagrams.

import t from 'tap';
import { GroSplitter } from '../../../../src/dataplane/io/gro-splitter.js';
import { ReceiveTable } from '../../../../src/dataplane/io/receive-table.js';
import { Ipv4SockaddrCodec } from '../../../../src/dataplane/io/sockaddr-codec.js';
import { concat, pattern } from '../../../support/bytes.js';
import { udpFrame } from '../../../support/frames.js';
import { Kit } from '../../../support/kit.js';

const VXLAN = Uint8Array.of(8, 0, 0, 0, 0, 0, 1, 0);

/** Splits messages of these bytes, whose datagrams have the size that UDP_GRO reports. */
function split(messages: readonly { bytes: Uint8Array; datagramSize: number }[]): Kit {
  const kit = new Kit(2 * 128, 0, 3 * 70_000);
  const codec = new Ipv4SockaddrCodec(kit.arena);
  const table = new ReceiveTable(kit.arena, 2, 65_536, codec);
  table.length = (message) => messages[message]?.bytes.length ?? 0;
  table.source = () => 1;
  table.parseControl = (message) => {
    table.datagramSize = messages[message]?.datagramSize ?? 0;
  };
  const options = { tunnelLength: 8, linkLength: 14, kernelPeers: true };
  const splitter = new GroSplitter(table, options, kit.counters);
  messages.forEach(({ bytes }, message) => {
    kit.arena.bytes.set(bytes, table.buffer(message));
    splitter.split(kit.batch, message);
  });
  return kit;
}

t.test(
  'GroSplitter makes at most 128 packets of a message, and leaves the other messages their room',
  async (t) => {
    const kit = split([
      { bytes: new Uint8Array(60_000), datagramSize: 1 },
      { bytes: new Uint8Array(300), datagramSize: 100 },
    ]);
    t.equal(kit.batch.count, 128 + 3);
    t.same(kit.counted(), { rx_drop_truncated: 60_000 - 128 });
  },
);

t.test(
  'GroSplitter drops a UDP superpacket of more than 128 segments as rx_drop_unsegmentable',
  async (t) => {
    const message = (segments: number, datagramSize: number) => ({
      bytes: concat(VXLAN, udpFrame({ payload: pattern(segments * datagramSize) })),
      datagramSize,
    });
    const kit = split([message(129, 60), message(128, 60)]);
    t.equal(kit.batch.count, 1);
    t.equal(kit.batch.gsoSize[0], 60);
    t.same(kit.counted(), { rx_drop_unsegmentable: 1, rx_superpackets: 1 });
  },
);
