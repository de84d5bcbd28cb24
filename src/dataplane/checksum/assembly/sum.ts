/**
 * The only byte loop of Weft, in AssemblyScript: the unfolded one's-complement sum (RFC 1071) of a range of bytes.
 *
 * 16-bit words are summed as the machine loads them, little-endian. The sum of swapped words is the swapped sum (RFC
 * 1071 section 2(B)), so the caller swaps only the folded result. The eight 32-bit lanes cannot overflow: a lane grows
 * by at most 4 * 65535 a step. A packet has at most 65535 / 64 steps.
 */

/** Sums `length` bytes (at most 65535) from `at`; an odd last byte is padded with zero. */
export function sum(at: usize, length: u32): u32 {
  const end = at + length;
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  const vectors = at + (length & ~63);
  while (at < vectors) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 16)));
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 32)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 48)));
    at += 64;
  }
  a = i32x4.add(a, b);
  let total =
    i32x4.extract_lane(a, 0) + i32x4.extract_lane(a, 1) + i32x4.extract_lane(a, 2) + i32x4.extract_lane(a, 3);
  while (at + 2 <= end) {
    total += load<u16>(at);
    at += 2;
  }
  if (at < end) total += load<u8>(at);
  return total;
}
