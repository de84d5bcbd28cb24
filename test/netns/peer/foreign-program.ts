/**
 * Attaches a program of its own to the ingress hook of an interface, and prints ten times a second how many packets it has
 * seen. Arguments: `tcx` or `clsact`, and the interface index.
 */

import { Assembler, at, constant, FP, R0, R1, R2 } from '../../../src/dataplane/fast-path/assembler.js';
import { HELPER, VERDICT } from '../../../src/dataplane/fast-path/helpers.js';
import { createLink, createMap, loadProgram, lookUpElement } from '../../../src/sys/bpf.js';
import { BPF_TCX_INGRESS } from '../../../src/sys/constants.js';
import { addClsact, setFilter } from '../../../src/sys/traffic-control.js';

/** BPF_MAP_TYPE_ARRAY */
const ARRAY = 2;

const map = createMap({ type: ARRAY, name: 'foreign', keySize: 4, valueSize: 8, maxEntries: 1 });
const a = new Assembler();
const end = a.label('end');
a.store(4, at(FP, -4), constant(0));
a.moveMap(R1, map);
a.move(R2, FP);
a.alu('add', R2, constant(-4));
a.call(HELPER.mapLookUp);
a.jumpIf(R0, '==', constant(0), end);
a.load(8, R1, at(R0, 0));
a.alu('add', R1, constant(1));
a.store(8, at(R0, 0), R1);
a.place(end);
a.move(R0, constant(VERDICT.next));
a.exit();
const [, , attachment, index] = process.argv;
const program = loadProgram('foreign', a.assemble());
if (attachment === 'tcx') {
  createLink(program, Number(index), BPF_TCX_INGRESS);
} else {
  addClsact(Number(index), 'ingress');
  setFilter(Number(index), 'ingress', { priority: 1, handle: 1, name: 'foreign' }, program);
}
console.log('attached');
setInterval(() => {
  const value = new Uint8Array(8);
  lookUpElement(map, new Uint8Array(4), value);
  console.log(String(new DataView(value.buffer).getBigUint64(0, true)));
}, 100);
