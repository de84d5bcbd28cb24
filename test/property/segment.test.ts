import fc from 'fast-check';
import t from 'tap';
import { MAX_HEADERS, Segmenter } from '../../src/dataplane/offload/segment.js';
import { concat, toHex, viewOf } from '../support/bytes.js';
import { type FrameOptions, tcpFrame, udpFrame } from '../support/frames.js';
import { Kit } from '../support/kit.js';
import { checksumsVerify, layoutOf, naiveSegments, withPartialChecksum } from '../support/reference.js';

const kit = new Kit(1, 65536);
const segmenter = new Segmenter(kit.arena, kit.checksum);
const headers = kit.arena.reserve(MAX_HEADERS);

function segments(frame: Uint8Array, size: number): Uint8Array[] {
  kit.fill([frame]);
  const made: Uint8Array[] = [];
  kit.locate(0);
  segmenter.begin(kit.batch.offset[0], kit.batch.headers[0], size);
  for (let index = 0; index < segmenter.count; index++) {
    segmenter.write(index, headers);
    const { headersLength, payloadOffset, payloadLength } = segmenter;
    const { bytes } = kit.arena;
    made.push(
      concat(
        bytes.slice(headers, headers + headersLength),
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

t.test('Segmenter cuts the whole payload of a superpacket into parts of gsoSize bytes', async () => {
  fc.assert(
    fc.property(superpacket, size, (frame, gsoSize) => {
      const { payload } = layoutOf(frame);
      const parts = segments(frame, gsoSize).map((segment) => segment.slice(payload));
      return (
        toHex(concat(...parts)) === toHex(frame.slice(payload)) &&
        parts.slice(0, -1).every(({ length }) => length === gsoSize) &&
        parts.every(({ length }) => length > 0)
      );
    }),
  );
});

t.test('Segmenter writes checksums that the slow reference verifies', async () => {
  fc.assert(
    fc.property(superpacket, size, (frame, gsoSize) => segments(frame, gsoSize).every(checksumsVerify)),
  );
});

t.test(
  'Segmenter counts sequence numbers by the payload and identifications by one, with wrap-around',
  async () => {
    fc.assert(
      fc.property(options.map(tcpFrame), size, (frame, gsoSize) => {
        const { version, ip, transport } = layoutOf(frame);
        const first = viewOf(frame);
        return segments(frame, gsoSize).every((segment, index) => {
          const view = viewOf(segment);
          const sequence = (first.getUint32(transport + 4) + index * gsoSize) % 2 ** 32;
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

t.test('Segmenter equals the naive segmenter, byte for byte', async () => {
  fc.assert(
    fc.property(superpacket, size, (frame, gsoSize) => {
      const expected = naiveSegments(frame, gsoSize).map(toHex);
      return JSON.stringify(segments(frame, gsoSize).map(toHex)) === JSON.stringify(expected);
    }),
  );
});

t.test('Segmenter does not change the payload', async () => {
  fc.assert(
    fc.property(superpacket, size, (frame, gsoSize) => {
      const { payload } = layoutOf(frame);
      segments(frame, gsoSize);
      return toHex(kit.packet(0).slice(payload)) === toHex(frame.slice(payload));
    }),
  );
});
