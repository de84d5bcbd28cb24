/**
 * A congested link: a program at the egress hook of an interface marks some packets with CE (bpf_skb_ecn_set_ce, 5.1).
 * Argument: the interface index.
 */

import { Assembler, constant, R0, R1, R6 } from '../../../src/dataplane/fast-path/assembler.js';
import { VERDICT } from '../../../src/dataplane/fast-path/helpers.js';
import { loadProgram } from '../../../src/sys/bpf.js';
import { addClsact, setFilter } from '../../../src/sys/traffic-control.js';

/** linux/bpf.h */
const RANDOM = 7;
const SET_CE = 97;
/** One of so many packets; a superpacket counts as one. */
const EVERY = 32;

const a = new Assembler();
const end = a.label('end');
a.move(R6, R1);
a.call(RANDOM);
a.alu('and', R0, constant(EVERY - 1));
a.jumpIf(R0, '!=', constant(0), end);
a.move(R1, R6);
a.call(SET_CE);
a.place(end);
a.move(R0, constant(VERDICT.next));
a.exit();
const index = Number(process.argv[2]);
addClsact(index, 'egress');
setFilter(
  index,
  'egress',
  { priority: 1, handle: 1, name: 'congestion' },
  loadProgram('congestion', a.assemble()),
);
