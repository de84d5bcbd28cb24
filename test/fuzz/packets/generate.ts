/** Makes cases: packets of a few flows in bursts, packets of the corpus, and mutations of both. */

import type { Random } from '../random.js';
import { build, type ChecksumKind, type Flow, randomFlow } from './build.js';
import type { Case } from './case.js';
import type { Message } from './kernel.js';
import { type PacketOptions, type PacketTarget, PEERS, SOURCES, sourceAddress } from './options.js';
import { ETHERNET, parse, put16, TCP, UDP } from './wire.js';

const ACK = 0x10;
const PSH = 0x08;
const EXTREMES = [0, 1, 0x7f, 0x80, 0xff];
const WORD_EXTREMES = [0, 1, 7, 8, 19, 20, 0x7fff, 0x8000, 0xfffe, 0xffff];
/** Inputs of a case in each direction: messages fill no more than one batch. */
const MAX_INPUTS = 14;
/** Frames of a case with superpackets of very many segments. */
const MAX_FLOOD = 40;
/** One case of so many has them: each takes some 100 times as long as another. */
const FLOOD_ONE_IN = 60;

/** Frames with an Ethernet header, from the corpus. */
export interface Corpus {
  frames: readonly Uint8Array[];
  datagrams: readonly Uint8Array[];
}

export function randomOptions(random: Random, target: PacketTarget): PacketOptions {
  const [tunnel, level] = target.split('-') as ['vxlan' | 'vxlan6' | 'udp', 'none' | 'gso'];
  const gso = level === 'gso';
  return {
    tunnel: tunnel === 'udp' ? 'udp' : 'vxlan',
    level,
    v6: tunnel === 'vxlan6',
    vni: random.pick([1, 0, 0xffffff, 0x123456]),
    peerCheck: random.pick(['strict', 'strict', 'mac', 'off'] as const),
    // As net-conf has it.
    learning: tunnel === 'vxlan' && random.oneIn(3),
    uso: gso && !random.oneIn(3),
    superpackets: gso && !random.oneIn(5),
    maxRun: gso ? random.pick([64, 64, 63, 1]) : 1,
    podMtu: random.pick([1450, 1450, 1280, 576, 8950]),
    sockets: tunnel === 'udp' ? 1 : random.pick([1, 4, 16]),
  };
}

export function randomCase(random: Random, options: PacketOptions, corpus: Corpus): Case {
  const generator = new Generator(random, options, corpus);
  return { frames: generator.frames(), messages: generator.messages() };
}

class Generator {
  private readonly random: Random;
  private readonly options: PacketOptions;
  private readonly corpus: Corpus;
  private readonly link: number;

  constructor(random: Random, options: PacketOptions, corpus: Corpus) {
    this.random = random;
    this.options = options;
    this.corpus = corpus;
    this.link = options.tunnel === 'vxlan' ? ETHERNET : 0;
  }

  /** Reads of the device. */
  frames(): Uint8Array[] {
    const { random, options } = this;
    if (options.level === 'gso' && random.oneIn(FLOOD_ONE_IN)) return this.flood();
    const result: Uint8Array[] = [];
    const count = random.below(MAX_INPUTS);
    while (result.length < count) {
      if (options.level === 'gso' && random.oneIn(4)) result.push(this.superpacket());
      else result.push(...this.burst(true).map((packet) => this.withVnet(packet)));
    }
    return result.slice(0, MAX_INPUTS);
  }

  /** Superpackets of many segments, packets of their flows, and other packets. */
  private flood(): Uint8Array[] {
    const { random, link } = this;
    const flows = Array.from({ length: random.range(1, 3) }, () => ({
      ...randomFlow(random, link, true),
      protocol: random.oneIn(12) ? UDP : TCP,
    }));
    const result: Uint8Array[] = [];
    const count = random.pick([1, 2, 4, 12, MAX_FLOOD]);
    // Smaller ones, so that many of them fit into the backlog.
    const most = random.pick([65_400, 65_400, 20_000, 3000]);
    while (result.length < count) {
      const flow = random.pick(flows);
      switch (random.below(4)) {
        case 0:
          result.push(this.superpacketOf(flow, random.range(most >> 2, most), random.range(1, 100)));
          break;
        case 1:
          result.push(this.superpacketOf(flow, random.range(1, 4000), random.range(100, 1448)));
          break;
        case 2: {
          const plain = {
            payload: random.below(200),
            sequence: random.word(),
            identification: 7,
            flags: ACK,
          };
          result.push(this.withVnet(build(random, flow, plain, 'right')));
          break;
        }
        default:
          result.push(...this.burst(true).map((packet) => this.withVnet(packet)));
      }
    }
    return result.slice(0, MAX_FLOOD);
  }

  /** Messages of the receiving socket. */
  messages(): Message[] {
    const { random, options } = this;
    const result: Message[] = [];
    const count = random.below(MAX_INPUTS);
    while (result.length < count) {
      const source = sourceAddress(options.v6, this.peer());
      const tos = random.oneIn(3) ? random.below(4) : 0;
      const message = (data: Uint8Array, gro = 0): Message => ({ source, tos, gro, data });
      const choice = random.below(24);
      if (choice === 0 && this.corpus.datagrams.length > 0) {
        const datagram = this.maybeMutated(random.pick(this.corpus.datagrams));
        if (datagram.length > 7 && random.oneIn(2)) this.writeVni(datagram);
        result.push(message(datagram));
      } else if (choice === 1) {
        result.push(message(random.bytes(random.below(120))));
      } else if (choice === 2) {
        result.push(message(this.encapsulated(this.kernelSuperpacket()), random.pick([0, 0, 100, 1000])));
      } else if (choice === 3 && options.level === 'gso') {
        const data = random.bytes(random.pick([0, 1, 9, 5000, 65507, 65536, 65537]));
        result.push(message(data, random.pick([0, 1, 2, 64, 1450, 65535])));
      } else {
        const packets = this.burst(false).map((packet) => this.encapsulated(packet));
        if (options.level === 'gso' && random.oneIn(2)) result.push(...this.runs(packets, message));
        else {
          for (const data of packets) {
            const another = random.oneIn(12) ? sourceAddress(options.v6, this.peer()) : source;
            result.push({ ...message(data), source: another });
          }
        }
      }
    }
    return result.slice(0, MAX_INPUTS);
  }

  /** The index of a source; mostly a peer. */
  private peer(): number {
    const { random } = this;
    return random.oneIn(10) ? random.below(SOURCES) : random.below(PEERS.length);
  }

  /** Returns consecutive packets of one flow, sometimes with one of another flow or a mutated one in between. */
  private burst(outbound: boolean): Uint8Array[] {
    const { random, link } = this;
    if (random.oneIn(12) && this.corpus.frames.length > 0) {
      return [this.maybeMutated(random.pick(this.corpus.frames).slice(ETHERNET - link))];
    }
    const flow = randomFlow(random, link, outbound);
    const fragments = { ...flow, fragment: 0x20b9 };
    const other = random.oneIn(2) ? random.pick([randomFlow(random, link, outbound), fragments]) : flow;
    const step = random.oneIn(6) ? random.below(3) : 1;
    const payload = random.pick([0, 1, 2, 18, 100, 101, 512, random.below(1400), 1400]);
    const kind = this.checksumKind();
    let sequence = random.oneIn(4) ? 0xffffffff - random.below(3 * payload + 1) : random.word();
    let identification = random.oneIn(4) ? 0xfffe : random.below(0x10000);
    const packets: Uint8Array[] = [];
    const count = random.pick([1, 1, 2, 3, 5, 8]);
    for (let i = 0; i < count; i++) {
      const last = i === count - 1;
      const size = last && random.oneIn(2) ? random.below(payload + 1) : payload;
      const plain = { payload: size, sequence, identification, flags: this.tcpFlags(last) };
      const packet = build(
        random,
        random.oneIn(5) ? other : flow,
        plain,
        random.oneIn(10) ? this.checksumKind() : kind,
      );
      sequence = (sequence + size) % 2 ** 32;
      identification = (identification + step) & 0xffff;
      packets.push(random.oneIn(12) ? this.maybeMutated(packet) : packet);
      if (random.oneIn(20)) packets.push(packet.slice());
    }
    if (random.oneIn(12)) packets.reverse();
    return packets;
  }

  private tcpFlags(last: boolean): number {
    const { random } = this;
    if (random.oneIn(10)) return random.below(512);
    return last && random.oneIn(2) ? ACK | PSH : ACK;
  }

  private checksumKind(): ChecksumKind {
    const { random } = this;
    return random.oneIn(4) ? random.pick(['partial', 'partial', 'wrong', 'none'] as const) : 'right';
  }

  private encapsulated(packet: Uint8Array): Uint8Array {
    const { random, options } = this;
    if (options.tunnel === 'udp') return packet;
    const data = new Uint8Array(8 + packet.length);
    data[0] = 8;
    this.writeVni(data);
    data.set(packet, 8);
    if (random.oneIn(20)) data[random.below(8)] ^= 1 << random.below(8);
    if (random.oneIn(30)) data.set([0x88, random.pick([0, 0x48, 0x40]), 0x12, 0x34]);
    return data;
  }

  private writeVni(datagram: Uint8Array): void {
    const { vni } = this.options;
    datagram.set([vni >> 16, vni >> 8, vni], 4);
  }

  /** A large packet as a kernel peer sends it over a virtual link. */
  private kernelSuperpacket(): Uint8Array {
    const { random, link } = this;
    const flow = randomFlow(random, link, false);
    flow.protocol = random.pick([TCP, UDP]);
    const payload = random.oneIn(20) ? random.range(20_000, 64_000) : random.range(1000, 4000);
    const packet = {
      payload,
      sequence: random.word(),
      identification: random.below(0x10000),
      flags: this.tcpFlags(true),
    };
    return build(random, flow, packet, random.oneIn(4) ? this.checksumKind() : 'partial');
  }

  /** Joins equally long datagrams to GRO runs, the last of a run possibly shorter. */
  private runs(
    datagrams: readonly Uint8Array[],
    message: (data: Uint8Array, gro?: number) => Message,
  ): Message[] {
    const result: Message[] = [];
    let run: Uint8Array[] = [];
    const end = (): void => {
      if (run.length > 0) result.push(message(joined(run), run[0].length));
      run = [];
    };
    for (const datagram of datagrams) {
      const size = run[0]?.length ?? datagram.length;
      if (datagram.length === 0 || datagram.length > size || (run.at(-1)?.length ?? size) < size) end();
      run.push(datagram);
    }
    end();
    // The kernel stops at 64; a run of tiny datagrams shows what happens when the batch is full.
    if (this.random.oneIn(100) && result.length > 0) {
      const [first] = result;
      result.push(message(new Uint8Array(this.random.range(2049, 6000)).fill(8), this.random.pick([1, 2])));
      if (this.random.oneIn(2)) result.push({ ...first, data: new Uint8Array(0), gro: 0 });
    }
    return result;
  }

  /** Returns a frame as the device at level `gso` returns it, with a virtio-net header. */
  private withVnet(frame: Uint8Array): Uint8Array {
    const { random, options, link } = this;
    if (options.level === 'none') return frame;
    const read = new Uint8Array(10 + frame.length);
    read.set(frame, 10);
    const inner = parse(frame, link);
    if (inner.l4 > 0 && random.oneIn(2)) vnet(read, 0, 0, inner.l4, inner.checksum - inner.l4);
    if (random.oneIn(16)) {
      const any = (): number => (random.oneIn(2) ? random.pick(WORD_EXTREMES) : random.below(200));
      vnet(read, random.oneIn(4) ? random.pick([1, 3, 4, 5, 0x81]) : 0, any(), any(), any());
      read[0] = random.pick([0, 1, 2, 3, 255]);
    }
    return read;
  }

  /** A superpacket of a pod. */
  private superpacket(): Uint8Array {
    const { random, link } = this;
    const flow = randomFlow(random, link, true);
    if (!random.oneIn(16)) flow.protocol = random.pick([TCP, UDP]);
    const large = random.oneIn(16);
    const payload = large ? random.range(4000, 65_400) : random.below(4000);
    const usual = large ? random.range(500, 1448) : random.pick([8, 100, 536, 1000, 1398, 1448]);
    const size = random.oneIn(16) ? random.pick([0, 1, 7, payload, 65535]) : usual;
    return this.superpacketOf(flow, payload, size);
  }

  /** A superpacket with segments of `size` bytes; sometimes a mutated one. */
  private superpacketOf(flow: Flow, payload: number, size: number): Uint8Array {
    const { random, link } = this;
    const packet = {
      payload,
      sequence: random.word(),
      identification: random.below(0x10000),
      flags: random.below(512),
    };
    let frame = build(random, flow, packet, 'partial');
    if (random.oneIn(16)) frame = this.mutated(frame);
    const read = new Uint8Array(10 + frame.length);
    read.set(frame, 10);
    const inner = parse(frame, link);
    vnet(read, flow.protocol === UDP ? 5 : flow.v6 ? 4 : 1, size, inner.l4, inner.checksum - inner.l4);
    if (random.oneIn(16)) read[random.below(10)] = random.pick(EXTREMES);
    return read;
  }

  private maybeMutated(bytes: Uint8Array): Uint8Array {
    return this.random.oneIn(4) ? bytes.slice() : this.mutated(bytes);
  }

  private mutated(original: Uint8Array): Uint8Array {
    const { random } = this;
    let bytes: Uint8Array = original.slice();
    for (let times = random.pick([1, 1, 1, 2, 4]); times > 0; times--) {
      // Most fields are in the first bytes.
      const at = random.below(Math.min(bytes.length, random.oneIn(4) ? 2000 : 90));
      switch (random.below(7)) {
        case 0:
          bytes[at] ^= 1 << random.below(8);
          break;
        case 1:
          bytes[at] = random.pick(EXTREMES);
          break;
        case 2:
          if (at + 2 <= bytes.length) put16(bytes, at, random.pick(WORD_EXTREMES));
          break;
        case 3:
          bytes = bytes.slice(0, random.below(bytes.length + 1));
          break;
        case 4:
          bytes = joined([bytes, random.bytes(random.range(1, 40))]);
          break;
        case 5:
          bytes = this.spliced(bytes, at);
          break;
        default:
          this.fix(bytes);
      }
    }
    if (random.oneIn(2)) this.fix(bytes);
    return bytes;
  }

  private spliced(bytes: Uint8Array, at: number): Uint8Array {
    const { frames } = this.corpus;
    if (frames.length === 0) return bytes;
    const other = this.random.pick(frames);
    return joined([bytes.subarray(0, at), other.subarray(this.random.below(other.length))]);
  }

  /** Makes lengths right again, so that more mutations reach the code behind the first checks. */
  private fix(bytes: Uint8Array): void {
    const { link } = this;
    const { ip, v6 } = parse(bytes, link);
    if (ip < 0) return;
    if (v6) put16(bytes, ip + 4, bytes.length - ip - 40);
    else put16(bytes, ip + 2, bytes.length - ip);
  }
}

function vnet(read: Uint8Array, type: number, size: number, start: number, offset: number): void {
  const little = (at: number, value: number): void => {
    read[at] = value;
    read[at + 1] = value >> 8;
  };
  read[0] = 1;
  read[1] = type;
  little(4, size);
  little(6, start);
  little(8, offset);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
