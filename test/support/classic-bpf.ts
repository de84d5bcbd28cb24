/** An interpreter of classic BPF for the programs of peer-filter.ts, by linux/filter.h. */

const NETWORK_HEADER = 0xfff00000;
const RANDOM = 0xfffff038;

/** What a program sees: the datagram from its UDP header on, its IP header, and the kernel's random number. */
export interface Seen {
  readonly datagram: Uint8Array;
  readonly ipHeader: Uint8Array;
  readonly random: number;
}

/** Runs a program of struct sock_filter; returns what it returns. A load outside the data returns 0. */
export function runBpf(program: Uint8Array, seen: Seen): number {
  const view = new DataView(program.buffer, program.byteOffset, program.length);
  let [a, x] = [0, 0];
  for (let pc = 0; ; pc++) {
    const at = pc * 8;
    const [code, jumpTrue, jumpFalse] = [
      view.getUint16(at, true),
      program[at + 2] ?? 0,
      program[at + 3] ?? 0,
    ];
    const k = view.getUint32(at + 4, true);
    switch (code) {
      case 0x20: {
        const loaded = load(seen, k);
        if (loaded === undefined) return 0;
        a = loaded;
        break;
      }
      case 0x24:
        a = Math.imul(a, k) >>> 0;
        break;
      case 0x54:
        a = (a & k) >>> 0;
        break;
      case 0x74:
        a >>>= k;
        break;
      case 0xac:
        a = (a ^ x) >>> 0;
        break;
      case 0x0c:
        a = (a + x) >>> 0;
        break;
      case 0x07:
        x = a;
        break;
      case 0x05:
        pc += k;
        break;
      case 0x15:
        pc += a === k ? jumpTrue : jumpFalse;
        break;
      case 0x35:
        pc += a >= k ? jumpTrue : jumpFalse;
        break;
      case 0x45:
        pc += (a & k) !== 0 ? jumpTrue : jumpFalse;
        break;
      case 0x06:
        return k;
      default:
        throw new Error(`instruction ${pc} has the unknown code ${code}`);
    }
  }
}

function load({ datagram, ipHeader, random }: Seen, k: number): number | undefined {
  if (k === RANDOM) return random;
  const [bytes, at] = k >= NETWORK_HEADER ? [ipHeader, k - NETWORK_HEADER] : [datagram, k];
  if (at + 4 > bytes.length) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}
