/** Literal bytes of each block, by the diagrams of draft-ietf-opsawg-pcapng. */

import t from 'tap';
import {
  enhancedPacket,
  interfaceDescription,
  interfaceStatistics,
  sectionHeader,
} from '../../../../src/dataplane/capture/pcapng.js';

/** Returns bytes without the spaces between them. */
function bytes(...parts: string[]): string {
  return parts.join('').replaceAll(' ', '');
}

t.test('a section begins with byte order, version 1.0, unknown length and the program', async (t) => {
  t.equal(
    sectionHeader('weft', 'Linux').toString('hex'),
    bytes(
      '0a0d0d0a 34000000 4d3c2b1a 0100 0000 ffffffffffffffff',
      '0300 0500 4c696e7578 000000', // shb_os
      '0400 0400 77656674', // shb_userappl
      '00000000 34000000',
    ),
  );
});

t.test('an interface has the link type Ethernet, snaplen, name, description and microseconds', async (t) => {
  const block = interfaceDescription({
    name: 'outer',
    description: 'eth0',
    system: 'Linux',
    snaplen: 128,
  });
  t.equal(
    block.toString('hex'),
    bytes(
      '01000000 40000000 0100 0000 80000000',
      '0200 0500 6f75746572 000000', // if_name
      '0300 0400 65746830', // if_description
      '0900 0100 06 000000', // if_tsresol
      '0c00 0500 4c696e7578 000000', // if_os
      '00000000 40000000',
    ),
  );
});

t.test('a packet has interface, time in halves, both lengths, direction and comment', async (t) => {
  const block = enhancedPacket({
    interface: 1,
    time: 2 ** 32 + 5,
    pieces: [Uint8Array.of(0xaa, 0xbb), Uint8Array.of(0xcc)],
    original: 1400,
    isInbound: true,
    comment: 'x',
  });
  t.equal(
    block.toString('hex'),
    bytes(
      '06000000 38000000 01000000 01000000 05000000 03000000 78050000 aabbcc 00',
      '0200 0400 01000000', // epb_flags
      '0100 0100 78 000000', // opt_comment
      '00000000 38000000',
    ),
  );
  const outbound = enhancedPacket({ interface: 0, time: 0, pieces: [], original: 0, isInbound: false });
  t.equal(outbound.toString('hex').slice(56), bytes('0200 0400 02000000 00000000 2c000000'));
});

t.test('the statistics have the packets that were received and those that are missing', async (t) => {
  t.equal(
    interfaceStatistics(1, 7, 300, 2).toString('hex'),
    bytes(
      '05000000 34000000 01000000 00000000 07000000',
      '0400 0800 2c01000000000000', // isb_ifrecv
      '0500 0800 0200000000000000', // isb_ifdrop
      '00000000 34000000',
    ),
  );
});
