// The TAP queue here is one end of a socket pair that keeps packet boundaries, as a TAP queue does; the kernel's side is
// the other end.

import t, { type Test } from 'tap';
import { OverlayPort } from '../../../../src/dataplane/io/overlay.js';
import { DRAINED, MORE } from '../../../../src/dataplane/io/port.js';
import { ETHERNET_LENGTH } from '../../../../src/dataplane/wire/ethernet.js';
import { addressOf, close, read, write } from '../../../../src/sys/ffi.js';
import { pattern, toHex } from '../../../support/bytes.js';
import { MAC_A, MAC_B, packetOf, rawFrame, tcpFrame } from '../../../support/frames.js';
import { Kit } from '../../../support/kit.js';
import { naiveSegments, withPartialChecksum } from '../../../support/reference.js';
import { socketpair } from '../../../support/socketpair.js';

const EBADF = 9;
const MTU = 1450;

interface Rig {
  kit: Kit;
  port: OverlayPort;
  /** What the kernel does at its end. */
  send(frame: Uint8Array): void;
  receive(): Uint8Array | undefined;
}

function rig(
  t: Test,
  { capacity = 4, slotSize = 2048, gone = false, linkLength = ETHERNET_LENGTH } = {},
): Rig {
  const kit = new Kit(capacity, slotSize);
  const [near, far] = socketpair();
  t.teardown(() => {
    close(near);
    close(far);
  });
  const buffer = new Uint8Array(65536);
  return {
    kit,
    port: new OverlayPort(
      kit.arena,
      { fd: gone ? -1 : near, podMtu: MTU, linkLength },
      kit.checksum,
      kit.counters,
      kit.batch,
    ),
    send: (frame) => {
      t.equal(write(far, addressOf(frame), frame.length), frame.length);
    },
    receive: () => {
      const length = read(far, addressOf(buffer), buffer.length);
      return length < 0 ? undefined : buffer.slice(0, length);
    },
  };
}

function frameNumber(index: number): Uint8Array {
  return rawFrame(MAC_B, MAC_A, Uint8Array.of(index));
}

t.test('OverlayPort.receive reads all waiting frames in order, each into its slot', async (t) => {
  const { kit, port, send } = rig(t);
  for (let i = 0; i < 3; i++) send(frameNumber(i));
  t.equal(port.receive(kit.batch), DRAINED);
  t.same(
    kit.packets().map(toHex),
    [0, 1, 2].map((index) => toHex(frameNumber(index))),
  );
  for (let i = 0; i < 3; i++) {
    t.same(
      [kit.batch.offset[i], kit.batch.address[i], kit.batch.gsoSize[i], kit.batch.checksum[i]],
      [kit.batch.slot(i), 0, 0, 0],
    );
  }
});

t.test(
  'OverlayPort.receive stops at the capacity of the batch and reads the rest at the next call',
  async (t) => {
    const { kit, port, send } = rig(t, { capacity: 2 });
    for (let i = 0; i < 3; i++) send(frameNumber(i));
    t.equal(port.receive(kit.batch), MORE);
    t.equal(kit.batch.count, 2);
    t.equal(port.receive(kit.batch), DRAINED);
    t.same(kit.packets().map(toHex), [toHex(frameNumber(2))]);
  },
);

t.test('OverlayPort.receive empties the batch when no frame is waiting', async (t) => {
  const { kit, port } = rig(t);
  kit.fill([frameNumber(0)]);
  t.equal(port.receive(kit.batch), DRAINED);
  t.equal(kit.batch.count, 0);
});

t.test('OverlayPort.receive returns the negated errno of a lost device', async (t) => {
  const { kit, port } = rig(t, { gone: true });
  t.equal(port.receive(kit.batch), -EBADF);
});

t.test('OverlayPort.send writes every frame unchanged and counts it', async (t) => {
  const { kit, port, receive } = rig(t);
  const frames = [tcpFrame({ payload: pattern(1000) }), frameNumber(1), tcpFrame()];
  kit.fill(frames);
  port.send(kit.batch);
  for (const frame of frames) t.equal(toHex(receive() as Uint8Array), toHex(frame));
  t.equal(receive(), undefined);
  t.same(kit.counted(), { rx_packets: 3, rx_bytes: frames.reduce((sum, { length }) => sum + length, 0) });
});

t.test('OverlayPort.send completes a partial checksum', async (t) => {
  const { kit, port, receive } = rig(t);
  const frame = tcpFrame();
  kit.fill([withPartialChecksum(frame)]);
  port.send(kit.batch);
  t.equal(toHex(receive() as Uint8Array), toHex(frame));
  t.same(kit.counted(), { rx_packets: 1, rx_bytes: frame.length, rx_partial_checksums: 1 });
});

t.test(
  'OverlayPort.send segments a superpacket, which a TAP without a virtio-net header does not accept',
  async (t) => {
    const { kit, port, receive } = rig(t, { slotSize: 65536 });
    const frame = tcpFrame({ payload: pattern(5000) });
    const segments = naiveSegments(frame, MTU - 40);
    kit.fill([withPartialChecksum(frame), frameNumber(7)]);
    port.send(kit.batch);
    for (const expected of [...segments, frameNumber(7)])
      t.equal(toHex(receive() as Uint8Array), toHex(expected));
    t.equal(receive(), undefined);
    t.same(kit.counted(), {
      rx_packets: segments.length + 1,
      rx_bytes: segments.reduce((sum, { length }) => sum + length, 0) + frameNumber(7).length,
      rx_superpackets: 1,
      rx_partial_checksums: 1,
    });
  },
);

t.test('OverlayPort handles packets without an Ethernet header on a TUN, in both directions', async (t) => {
  const { kit, port, send, receive } = rig(t, { slotSize: 65536, linkLength: 0 });
  const frame = tcpFrame({ payload: pattern(5000) });
  send(packetOf(frame));
  port.receive(kit.batch);
  t.same(kit.packets().map(toHex), [toHex(packetOf(frame))]);
  kit.fill([withPartialChecksum(frame), withPartialChecksum(tcpFrame())].map(packetOf));
  port.send(kit.batch);
  for (const expected of [...naiveSegments(frame, MTU - 40), tcpFrame()])
    t.equal(toHex(receive() as Uint8Array), toHex(packetOf(expected)));
  t.equal(receive(), undefined);
});

t.test('OverlayPort.send counts the packets that the device refuses, and continues', async (t) => {
  const { kit, port } = rig(t, { gone: true });
  kit.fill([frameNumber(0), tcpFrame({ payload: pattern(30) })]);
  kit.batch.gsoSize[1] = 10;
  port.send(kit.batch);
  t.same(kit.counted(), { rx_drop_device_refused: 4 });
});

t.test('OverlayPort.send counts the packets that a full device does not accept, and continues', async (t) => {
  const { kit, port, receive } = rig(t);
  const frame = tcpFrame({ payload: pattern(1400) });
  let sent = 0;
  while (kit.counted().rx_drop_device_full === undefined && sent < 10_000) {
    kit.fill([frame]);
    port.send(kit.batch);
    sent++;
  }
  t.same(kit.counted(), {
    rx_packets: sent - 1,
    rx_bytes: (sent - 1) * frame.length,
    rx_drop_device_full: 1,
  });
  while (receive() !== undefined);
  port.send(kit.batch);
  t.equal(kit.counted().rx_packets, sent);
});
