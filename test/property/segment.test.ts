import fc from 'fast-check';
import t from 'tap';
import { MAX_HEADERS, Segmenter } from '../../src/dataplane/offload/segment.js';
import { ETHERNET_LENGTH } from '../../src/dataplane/wire/ethernet.js';
import { concat, toHex, viewOf } from '../support/bytes.js';
import { type FrameOptions, tcpFrame, udpFrame } from '../support/frames.js';
import { Kit } from '../support/kit.js';
import { checksumsVerify, layoutOf, naiveSegments, withPartialChecksum } from '../support/reference.js';

const kit = new Kit(1, 65536);
const segmenter = new Segmenter(kit.arena, kit.checksum, ETHERNET_LENGTH);
const headers = kit.arena.reserve(MAX_HEADERS);

function segments(frame: Uint8Array, size: number): Uint8Array[] {
  kit.fill([frame]);
  const made: Uint8Array[] = [];
  segmenter.begin(kit.batch.offset[0], frame.length, size);
  for (let index = 0; index < segmenter.count; index++) {
    segmenter.write(index, headers);
    const { headerLength, payloadOffset, payloadLength } = segmenter;
    const { bytes } = kit.arena;
    made.push(
      concat(
        bytes.slice(headers, headers + headerLength),
        bytes.slice(payloadOffset, payloadOffset + payloadLength),
      ),
    );
  }
  return made;
}

const words = fc.nat(10).map((count) => new Uint8Array(count * 4).fill(1));
const options: fc.Arbitrary<FrameOptions> = fc.record({
  ipv6: fc.boolean(),
  ipOptions: words,
  tcpOptions: words,
  flags: fc.nat(255),
  sequence: fc.oneof(fc.nat(0xffffffff), fc.constantFrom(0xffffffff, 0x7fffffff, 0)),
  identification: fc.oneof(fc.nat(0xffff), fc.constantFrom(0xffff, 0xfffe)),
  payload: fc.uint8Array({ minLength: 1, maxLength: 8000, size: 'max' }),
});
const superpacket = fc
  .tuple(fc.constantFrom(tcpFrame, udpFrame), options)
  .map(([frame, chosen]) => withPartialChecksum(frame(chosen)));
const size = fc.oneof(
  fc.integer({ min: 100, max: 1460 }),
  fc.integer({ min: 1, max: 9000 }).map((n) => Math.max(n, 20)),
);

t.test('Segmenter splits the payload into segments of the requested size', async () => {
  fc.assert(
    fc.property(superpacket, size, (frame, segmentSize) => {
      const { payload } = layoutOf(frame);
      const parts = segments(frame, segmentSize).map((segment) => segment.slice(payload));
      return (
        toHex(concat(...parts)) === toHex(frame.slice(payload)) &&
        parts.slice(0, -1).every(({ length }) => length === segmentSize) &&
        parts.every(({ length }) => length > 0)
      );
    }),
  );
});

t.test('every segment has checksums that the slow reference verifies', async () => {
  fc.assert(
    fc.property(superpacket, size, (frame, segmentSize) =>
      segments(frame, segmentSize).every(checksumsVerify),
    ),
  );
});

t.test(
  'sequence numbers advance by the payload and identifications by one, and both wrap around',
  async () => {
    fc.assert(
      fc.property(options.map(tcpFrame), size, (frame, segmentSize) => {
        const { version, ip, transport } = layoutOf(frame);
        const first = viewOf(frame);
        return segments(frame, segmentSize).every((segment, index) => {
          const view = viewOf(segment);
          const sequence = (first.getUint32(transport + 4) + index * segmentSize) % 2 ** 32;
          const identification = (first.getUint16(ip + 4) + index) % 2 ** 16;
          return (
            view.getUint32(transport + 4) === sequence &&
            (version === 6 || view.getUint16(ip + 4) === identification)
          );
        });
      }),
    );
  },
);

t.test('Segmenter equals the naive segmenter byte for byte', async () => {
  fc.assert(
    fc.property(superpacket, size, (frame, segmentSize) => {
      const expected = naiveSegments(frame, segmentSize).map(toHex);
      return JSON.stringify(segments(frame, segmentSize).map(toHex)) === JSON.stringify(expected);
    }),
  );
});

t.test('Segmenter does not change the payload of the superpacket', async () => {
  fc.assert(
    fc.property(superpacket, size, (frame, segmentSize) => {
      const { payload } = layoutOf(frame);
      segments(frame, segmentSize);
      return toHex(kit.packet(0).slice(payload)) === toHex(frame.slice(payload));
    }),
  );
});
