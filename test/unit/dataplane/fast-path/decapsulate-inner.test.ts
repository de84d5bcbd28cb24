import t, { type Test } from 'tap';
import { VERDICT } from '../../../../src/dataplane/fast-path/helpers.js';
import { concat, hex, pattern, toHex, viewOf } from '../../../support/bytes.js';
import {
  datagramOf,
  frameOf,
  INNER_ETHERNET,
  isPassed,
  OUTER_UDP,
  ProgramRunner,
  UDP_IN,
  withBpf,
} from '../../../support/fast-path.js';
import {
  BROADCAST,
  MAC_A,
  MAC_B,
  MAC_C,
  tagged,
  tcpFrame,
  udpFrame,
  withHopByHop,
} from '../../../support/frames.js';

const BPF = withBpf();
const TO_US = { destination: MAC_A, source: MAC_B };
/** Offsets in an inner frame. */
const IP = 14;
const IPV4_PROTOCOL = 23;
const IPV4_UDP_CHECKSUM = 40;
const IPV6_NEXT_HEADER = 20;
const IPV6_UDP_CHECKSUM = 60;

function runnerFor(t: Test): ProgramRunner {
  const runner = new ProgramRunner();
  t.teardown(() => runner.close());
  return runner;
}

function accepts(t: Test, datagram: Uint8Array, message = ''): void {
  const run = runnerFor(t).in(datagram);
  t.equal(run.result, VERDICT.redirect, message);
  t.equal(toHex(run.frame), toHex(datagram.slice(INNER_ETHERNET)), message);
}

function passes(t: Test, datagram: Uint8Array, message = ''): void {
  t.ok(isPassed(runnerFor(t).in(datagram), datagram), message);
}

/** Returns a copy of a frame with some bytes changed. */
function changed(frame: Uint8Array, at: number, bytes: string): Uint8Array {
  const copy = frame.slice();
  copy.set(hex(bytes), at);
  return copy;
}

const UDP = frameOf(MAC_A, MAC_B, 0x0800, UDP_IN);
const UDP6 = udpFrame({ ...TO_US, ipv6: true });

t.test('an IPv6 packet is accepted', BPF, async (t) => {
  accepts(t, datagramOf(UDP6));
  accepts(t, datagramOf(tcpFrame({ ...TO_US, ipv6: true })));
});

t.test('packets of all sizes are accepted', BPF, async (t) => {
  for (const length of [0, 1, 1400, 3000])
    accepts(t, datagramOf(udpFrame({ ...TO_US, payload: pattern(length) })));
  accepts(t, datagramOf(frameOf(MAC_A, MAC_B, 0x0800, changed(UDP_IN, 2, '0014').slice(0, 20))));
});

t.test('DF of the inner packet is accepted', BPF, async (t) => {
  accepts(t, datagramOf(changed(UDP, IP + 6, '4000')));
});

const PASSED: Record<string, Uint8Array> = {
  'the MAC of another peer': changed(UDP, 6, MAC_C.replaceAll(':', '')),
  'an unknown source MAC': changed(UDP, 6, '020000000099'),
  'a source MAC that differs in its first byte': changed(UDP, 6, '03000000000b'),
  'another destination MAC': changed(UDP, 0, MAC_C.replaceAll(':', '')),
  'a destination MAC that differs in its first bytes': changed(UDP, 0, '0300'),
  'a destination MAC that differs in its last byte': changed(UDP, 5, '0b'),
  'the broadcast MAC': changed(UDP, 0, BROADCAST.replaceAll(':', '')),
  'a multicast MAC': changed(UDP, 0, '01005e000001'),
  ARP: changed(UDP, 12, '0806'),
  'the EtherType of IPv6 on IPv4': changed(UDP, 12, '86dd'),
  'the EtherType of IPv4 on IPv6': changed(UDP6, 12, '0800'),
  'IP version 5': changed(UDP, IP, '55'),
  'an IPv4 header of four words': changed(UDP, IP, '44'),
  'IPv6 with version 7': changed(UDP6, IP, '70'),
  'a VLAN tag': tagged(UDP),
  'IP options': udpFrame({ ...TO_US, ipOptions: hex('94040000') }),
  'the first fragment': changed(UDP, IP + 6, '2000'),
  'the last fragment': changed(UDP, IP + 6, '0001'),
  'a fragment with DF': changed(UDP, IP + 6, '7fff'),
  'a length below the datagram’s, as in a GRO run': changed(UDP, IP + 2, '001f'),
  'a length beyond the datagram’s': changed(UDP, IP + 2, '0021'),
  'a length of zero': changed(UDP, IP + 2, '0000'),
  'an IPv6 length below the datagram’s': changed(UDP6, IP + 4, '006b'),
  'an IPv6 length beyond the datagram’s': changed(UDP6, IP + 4, '006d'),
  'trailing bytes': concat(UDP, hex('0000')),
};

for (const [name, frame] of Object.entries(PASSED)) {
  t.test(`the decapsulate program passes an inner frame with ${name}`, BPF, async (t) =>
    passes(t, datagramOf(frame)),
  );
}

t.test('the decapsulate program passes two datagrams that GRO joined', BPF, async (t) => {
  const first = datagramOf(UDP);
  const second = first.slice(OUTER_UDP + 8);
  const joined = concat(UDP, second);
  passes(t, datagramOf(joined));
});

t.test('equal ECN fields are accepted, others pass', BPF, async (t) => {
  for (let outer = 0; outer < 4; outer++) {
    for (let inner = 0; inner < 4; inner++) {
      const four = changed(UDP, IP + 1, (0xb8 | inner).toString(16));
      // The lower half of the traffic class, in front of the flow label.
      const six = changed(UDP6, IP + 1, ((inner << 4) | 1).toString(16).padStart(2, '0'));
      const check = outer === inner ? accepts : passes;
      for (const frame of [four, six])
        check(t, datagramOf(frame, 0x28 | outer), `inner ${inner}, outer ${outer}`);
    }
  }
});

/** Returns a datagram with an outer UDP checksum, which the programs do not verify. */
function checksummed(frame: Uint8Array): Uint8Array {
  const datagram = datagramOf(frame);
  viewOf(datagram).setUint16(OUTER_UDP + 6, 0xabcd);
  return datagram;
}

const OWN_CHECKSUM: Record<string, Uint8Array> = {
  TCP: tcpFrame(TO_US),
  'TCP over IPv6': tcpFrame({ ...TO_US, ipv6: true }),
  UDP,
  'UDP over IPv6': UDP6,
  ICMP: changed(UDP, IPV4_PROTOCOL, '01'),
  ICMPv6: changed(UDP6, IPV6_NEXT_HEADER, '3a'),
};

for (const [name, frame] of Object.entries(OWN_CHECKSUM)) {
  t.test(`a datagram with a checksum is accepted if it has ${name}`, BPF, async (t) =>
    accepts(t, checksummed(frame)),
  );
}

const NO_OWN_CHECKSUM: Record<string, Uint8Array> = {
  'UDP without a checksum': changed(UDP, IPV4_UDP_CHECKSUM, '0000'),
  'UDP over IPv6 without a checksum': changed(UDP6, IPV6_UDP_CHECKSUM, '0000'),
  SCTP: changed(UDP, IPV4_PROTOCOL, '84'),
  GRE: changed(UDP, IPV4_PROTOCOL, '2f'),
  'SCTP over IPv6': changed(UDP6, IPV6_NEXT_HEADER, '84'),
  'ICMPv6 over IPv4': changed(UDP, IPV4_PROTOCOL, '3a'),
  'ICMP over IPv6': changed(UDP6, IPV6_NEXT_HEADER, '01'),
  'an IPv6 hop-by-hop header': withHopByHop(UDP6, 0),
};

for (const [name, frame] of Object.entries(NO_OWN_CHECKSUM)) {
  t.test(`a datagram with a checksum passes if it has ${name}`, BPF, async (t) =>
    passes(t, checksummed(frame)),
  );
  t.test(`a datagram without a checksum is accepted if it has ${name}`, BPF, async (t) =>
    accepts(t, datagramOf(frame)),
  );
}

t.test('a datagram with a checksum passes if its UDP header is incomplete', BPF, async (t) => {
  const short = frameOf(MAC_A, MAC_B, 0x0800, changed(UDP_IN, 2, '001b').slice(0, 27));
  passes(t, checksummed(short));
  accepts(t, datagramOf(short));
});
