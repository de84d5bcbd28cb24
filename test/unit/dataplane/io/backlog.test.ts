// Superpackets of very many segments at the TAP: the queue is one end of a socket pair, as in overlay-gso.test.ts.

import t, { type Test } from 'tap';
import { OverlayGsoPort } from '../../../../src/dataplane/io/overlay-gso.js';
import { DRAINED, MORE } from '../../../../src/dataplane/io/port.js';
import { close } from '../../../../src/sys/ffi.js';
import { concat, hex, pattern, toHex } from '../../../support/bytes.js';
import { type FrameOptions, tcpFrame, udpFrame } from '../../../support/frames.js';
import { Kit } from '../../../support/kit.js';
import { layoutOf, naiveSegments, slowChecksum, withPartialChecksum } from '../../../support/reference.js';
import { sendPacket, socketpair } from '../../../support/socketpair.js';

const [TCPV4, TCPV6, UDP_L4] = [1, 4, 5];
const FIN_PSH_CWR_ACK = 0x99;

interface Rig {
  kit: Kit;
  port: OverlayGsoPort;
  sendSuper(type: number, segment: number, frame: Uint8Array): void;
  sendPlain(frame: Uint8Array): void;
  sendRaw(header: Uint8Array, frame: Uint8Array): void;
}

function rig(t: Test, capacity = 64): Rig {
  const kit = new Kit(capacity, 65_600);
  const [near, far] = socketpair();
  t.teardown(() => {
    close(near);
    close(far);
  });
  const options = {
    fd: near,
    linkLength: 14,
    podMtu: 1450,
    maxBatch: capacity,
    uso: true,
    superpackets: true,
  };
  const { arena, checksum, counters, batch } = kit;
  return {
    kit,
    port: new OverlayGsoPort(arena, options, checksum, counters, batch, () => undefined),
    sendSuper(type, segment, frame) {
      const { transport, protocol } = layoutOf(frame);
      const header = Uint8Array.of(
        1,
        type,
        0,
        0,
        segment & 255,
        segment >> 8,
        transport,
        0,
        protocol === 6 ? 16 : 6,
        0,
      );
      sendPacket(far, concat(header, withPartialChecksum(frame)));
    },
    sendPlain: (frame) => sendPacket(far, concat(new Uint8Array(10), frame)),
    sendRaw: (header, frame) => sendPacket(far, concat(header, frame)),
  };
}

/** Returns the packets of each round until the queue is drained, superpackets as their segments. */
function rounds({ kit, port }: Rig): string[][] {
  const all: string[][] = [];
  for (let result = MORE; result === MORE; ) {
    result = port.receive(kit.batch);
    const { count, gsoSize, offset } = kit.batch;
    const packets = kit.packets();
    all.push(
      packets
        .slice(0, count)
        .flatMap((packet, index) =>
          gsoSize[index] > 0 ? naiveSegments(packet, gsoSize[index]).map(toHex) : [toHex(packet)],
        ),
    );
    // The stages behind change headers in place.
    for (let i = 0; i < count; i++) kit.arena.bytes.fill(0xee, offset[i] - 8, offset[i] + 54);
  }
  return all;
}

for (const [what, type, options] of [
  ['IPv4', TCPV4, {}],
  ['IPv4 with all TCP options', TCPV4, { tcpOptions: new Uint8Array(40).fill(1) }],
  ['IPv6', TCPV6, { ipv6: true, tcpOptions: new Uint8Array(12).fill(1) }],
] as [string, number, FrameOptions][]) {
  for (const segment of [8, 48, 76]) {
    t.test(
      `OverlayGsoPort.receive slices a superpacket of ${segment}-byte segments over ${what} and keeps every byte`,
      async (t) => {
        const bed = rig(t);
        const payload = pattern(segment * 400 + 5);
        const fields = {
          ...options,
          flags: FIN_PSH_CWR_ACK,
          sequence: 0xffffff00,
          identification: 0xfff0,
          payload,
        };
        const frame = tcpFrame(fields);
        bed.sendSuper(type, segment, frame);
        const all = rounds(bed);
        t.same(
          all.map((round) => round.length),
          [128, 128, 128, 17],
        );
        t.same(all.flat(), naiveSegments(frame, segment).map(toHex));
        t.same(bed.kit.counted(), {});
      },
    );
  }
}

t.test('OverlayGsoPort.receive cuts bytes behind the IP packet off the last slice', async (t) => {
  const bed = rig(t);
  const frame = tcpFrame({ payload: pattern(8 * 200) });
  bed.sendRaw(
    hex('01 01 0000 0800 2200 1000'),
    concat(withPartialChecksum(frame), new Uint8Array(29).fill(0xee)),
  );
  t.same(rounds(bed).flat(), naiveSegments(frame, 8).map(toHex));
});

t.test('OverlayGsoPort.receive gives every slice a right IPv4 header checksum', async (t) => {
  const bed = rig(t);
  bed.sendSuper(TCPV4, 8, tcpFrame({ payload: pattern(8 * 300), identification: 0xfff0 }));
  for (let slice = 0; slice < 3; slice++) {
    bed.port.receive(bed.kit.batch);
    const header = bed.kit.packets()[0]?.subarray(14, 34) ?? new Uint8Array(0);
    t.equal(slowChecksum(header), 0, `slice ${slice}: ${toHex(header)}`);
  }
});

t.test(
  'OverlayGsoPort.receive lets other flows pass a superpacket that waits, and none of its own',
  async (t) => {
    const bed = rig(t);
    const large = tcpFrame({ payload: pattern(8 * 300) });
    const own = tcpFrame({ sequence: 2_000_000 });
    const other = udpFrame();
    bed.sendSuper(TCPV4, 8, large);
    bed.sendPlain(own);
    bed.sendPlain(other);
    const all = rounds(bed);
    const segments = naiveSegments(large, 8).map(toHex);
    t.same(all, [
      [toHex(other), ...segments.slice(0, 128)],
      segments.slice(128, 256),
      segments.slice(256),
      [toHex(own)],
    ]);
  },
);

t.test('OverlayGsoPort.receive drops what finds the backlog full, as tx_drop_backlog_full', async (t) => {
  const bed = rig(t);
  const frame = tcpFrame({ payload: pattern(8 * 3000) });
  for (let i = 0; i < 4; i++) bed.sendSuper(TCPV4, 8, frame);
  const all = rounds(bed);
  t.same(
    all.flat(),
    [frame, frame].flatMap((one) => naiveSegments(one, 8).map(toHex)),
  );
  t.same(bed.kit.counted(), { tx_drop_backlog_full: 2 });
});

t.test(
  'OverlayGsoPort.receive gives the memory of the backlog back: many superpackets in turn',
  async (t) => {
    const bed = rig(t, 4);
    for (let turn = 0; turn < 40; turn++) {
      const frames = [1, 2, 3].map((seed) => tcpFrame({ payload: pattern(8 * 200, seed + turn) }));
      for (const frame of frames) bed.sendSuper(TCPV4, 8, frame);
      t.same(
        rounds(bed).flat(),
        frames.flatMap((frame) => naiveSegments(frame, 8).map(toHex)),
      );
    }
  },
);

t.test(
  'OverlayGsoPort.receive drops segments that no kernel socket makes, as tx_drop_unsegmentable',
  async (t) => {
    const bed = rig(t);
    bed.sendSuper(TCPV4, 1, tcpFrame({ payload: pattern(1000) }));
    bed.sendSuper(TCPV4, 7, tcpFrame({ payload: pattern(1000) }));
    bed.sendSuper(TCPV6, 7, tcpFrame({ ipv6: true, payload: pattern(1000) }));
    bed.sendSuper(UDP_L4, 1, udpFrame({ payload: pattern(129) }));
    t.same(rounds(bed), [[]]);
    t.same(bed.kit.counted(), { tx_drop_unsegmentable: 4 });
  },
);

t.test('OverlayGsoPort.receive takes a UDP superpacket of 128 datagrams of one byte', async (t) => {
  const bed = rig(t);
  const frame = udpFrame({ payload: pattern(128) });
  bed.sendSuper(UDP_L4, 1, frame);
  t.same(rounds(bed), [naiveSegments(frame, 1).map(toHex)]);
});

t.test('OverlayGsoPort.receive ends a burst at 512 datagrams', async (t) => {
  const bed = rig(t);
  const frame = tcpFrame({ payload: pattern(100 * 120) });
  for (let i = 0; i < 6; i++) bed.sendSuper(TCPV4, 100, frame);
  t.equal(bed.port.receive(bed.kit.batch), MORE);
  t.equal(bed.kit.batch.count, 5);
  t.equal(bed.port.receive(bed.kit.batch), DRAINED);
  t.equal(bed.kit.batch.count, 1);
});

t.test('OverlayGsoPort.receive drops a superpacket whose protocol its headers do not have', async (t) => {
  const bed = rig(t);
  const frame = udpFrame({ payload: pattern(2000) });
  frame[23] = 99;
  bed.sendRaw(hex('01 01 0000 0800 2200 1000'), frame);
  t.same(rounds(bed), [[]]);
  t.same(bed.kit.counted(), { tx_drop_unsegmentable: 1 });
});
