import t, { type Test } from 'tap';
import {
  COUNTS_SIZE,
  DEVICE,
  ENTRY_SIZE,
  type FastPeer,
  KEY_SIZE,
  Tables,
} from '../../../../src/dataplane/fast-path/tables.js';
import { addCounts, NO_COUNTS } from '../../../../src/dataplane/tunnel/peer-counts.js';
import {
  deleteElement,
  lookUpElement,
  possibleCpus,
  readAll,
  updateElement,
} from '../../../../src/sys/bpf.js';
import { SystemError } from '../../../../src/sys/system-error.js';
import { hex, ipv4, mac, toHex } from '../../../support/bytes.js';
import { withBpf } from '../../../support/fast-path.js';
import { enterOwnNetwork, indexOf, run } from '../../../support/own-network.js';

const BPF = withBpf();
const NETWORK = BPF.skip === false ? enterOwnNetwork() : BPF;
const CAPACITY = 4;
const E2BIG = 7;
const ENODEV = 19;
const EINVAL = 22;

const FIRST: FastPeer = {
  ...mac('02:00:00:00:00:0b'),
  vtep: ipv4('192.168.77.2'),
  ifindex: 7,
  maxFrame: 1464,
  maxSuperpacket: 0xffffffff,
};
const SECOND: FastPeer = {
  ...FIRST,
  ...mac('fe:ff:ff:ff:ff:ff'),
  vtep: ipv4('255.255.255.254'),
  maxSuperpacket: 0,
};
const FIRST_ENTRY = 'c0a84d02 07000000 00000000 b8050000 ffffffff 000000000000000000000000'.replaceAll(
  ' ',
  '',
);
const SECOND_ENTRY = 'fffffffe 07000000 01000000 b8050000 00000000 000000000000000000000000'.replaceAll(
  ' ',
  '',
);
const BOTH = { '02000000000b0000': FIRST_ENTRY, feffffffffff0000: SECOND_ENTRY };

function tablesFor(t: Test): Tables {
  const tables = new Tables(CAPACITY);
  t.teardown(() => tables.close());
  return tables;
}

/** Returns the forwarding table as hexadecimal text. */
function entriesOf({ forwarding }: Tables): Record<string, string> {
  const entries = readAll(forwarding, KEY_SIZE, ENTRY_SIZE, CAPACITY).map(({ key, value }) => [
    toHex(key),
    toHex(value),
  ]);
  return Object.fromEntries(entries) as Record<string, string>;
}

/** Writes the counts of a number: one value per CPU, each from its function. */
function writeCounts({ counts }: Tables, number: number, valueOf: (cpu: number) => readonly bigint[]): void {
  const values = Array.from({ length: possibleCpus() }, (_, cpu) => valueOf(cpu)).flat();
  updateElement(counts, Uint8Array.of(number, 0, 0, 0), new Uint8Array(new BigUint64Array(values).buffer));
}

t.test('set writes a key and an entry per peer', BPF, async (t) => {
  const tables = tablesFor(t);
  tables.set([
    [FIRST, 0],
    [SECOND, 1],
  ]);
  t.same(entriesOf(tables), BOTH);
});

t.test('set replaces the entry of a MAC', BPF, async (t) => {
  const tables = tablesFor(t);
  tables.set([[{ ...FIRST, vtep: 1, maxFrame: 1 }, 3]]);
  tables.set([[FIRST, 0]]);
  t.same(entriesOf(tables), { '02000000000b0000': FIRST_ENTRY });
});

t.test('set of no peers changes nothing', BPF, async (t) => {
  const tables = tablesFor(t);
  tables.set([]);
  t.same(entriesOf(tables), {});
});

t.test('set takes as many peers as the capacity, and fails beyond it', BPF, async (t) => {
  const tables = tablesFor(t);
  const peers = Array.from({ length: CAPACITY + 1 }, (_, low): [FastPeer, number] => [
    { ...FIRST, low },
    low,
  ]);
  tables.set(peers.slice(0, CAPACITY));
  t.equal(Object.keys(entriesOf(tables)).length, CAPACITY);
  t.match(
    thrownBy(() => tables.set(peers)),
    { errno: E2BIG },
  );
});

t.test('delete removes the entry of a MAC; a missing one is no error', BPF, async (t) => {
  const tables = tablesFor(t);
  tables.set([
    [FIRST, 0],
    [SECOND, 1],
  ]);
  tables.delete(FIRST);
  tables.delete(FIRST);
  t.same(entriesOf(tables), { feffffffffff0000: SECOND_ENTRY });
});

t.test('correct changes nothing where all is right', BPF, async (t) => {
  const tables = tablesFor(t);
  const peers = [
    [FIRST, 0],
    [SECOND, 1],
  ] as const;
  tables.set(peers);
  t.equal(tables.correct(peers), 0);
  t.same(entriesOf(tables), BOTH);
});

t.test('correct adds missing entries', BPF, async (t) => {
  const tables = tablesFor(t);
  t.equal(
    tables.correct([
      [FIRST, 0],
      [SECOND, 1],
    ]),
    2,
  );
  t.same(entriesOf(tables), BOTH);
});

t.test('correct replaces wrong entries', BPF, async (t) => {
  const tables = tablesFor(t);
  for (const wrong of [{ vtep: 1 }, { ifindex: 8 }, { maxFrame: 1465 }, { maxSuperpacket: 1 }]) {
    tables.set([[{ ...FIRST, ...wrong }, 0]]);
    t.equal(tables.correct([[FIRST, 0]]), 1);
    t.same(entriesOf(tables), { '02000000000b0000': FIRST_ENTRY });
  }
  tables.set([[FIRST, 2]]);
  t.equal(tables.correct([[FIRST, 0]]), 1, 'another number');
  t.same(entriesOf(tables), { '02000000000b0000': FIRST_ENTRY });
});

t.test('correct removes extra entries', BPF, async (t) => {
  const tables = tablesFor(t);
  tables.set([
    [FIRST, 0],
    [SECOND, 1],
  ]);
  updateElement(tables.forwarding, hex('02000000000b0001'), hex(FIRST_ENTRY));
  t.equal(tables.correct([[FIRST, 0]]), 2);
  t.same(entriesOf(tables), { '02000000000b0000': FIRST_ENTRY });
});

t.test('correct repairs a full table with other entries', BPF, async (t) => {
  const tables = tablesFor(t);
  const peers = Array.from({ length: CAPACITY }, (_, low): [FastPeer, number] => [{ ...FIRST, low }, low]);
  tables.set(peers.map(([peer, number]) => [{ ...peer, high: 0x0300 }, number]));
  t.equal(tables.correct(peers), 2 * CAPACITY);
  t.equal(Object.keys(entriesOf(tables)).filter((key) => key.startsWith('0200')).length, CAPACITY);
});

t.test('counts of a new table are zero', BPF, async (t) => {
  t.same(tablesFor(t).read(CAPACITY - 1), NO_COUNTS);
});

t.test('read sums the counts of all CPUs', BPF, async (t) => {
  const tables = tablesFor(t);
  writeCounts(tables, 2, (cpu) => [1n, 100n, 10n, BigInt(cpu) + 2n ** 40n]);
  const cpus = possibleCpus();
  t.same(tables.read(2), {
    txPackets: cpus,
    txBytes: 100 * cpus,
    rxPackets: 10 * cpus,
    rxBytes: (cpus * (cpus - 1)) / 2 + cpus * 2 ** 40,
  });
  t.same(tables.read(1), NO_COUNTS);
});

t.test('clear sets the counts of one number to zero', BPF, async (t) => {
  const tables = tablesFor(t);
  for (const number of [0, 1]) writeCounts(tables, number, () => [1n, 2n, 3n, 4n]);
  tables.clear(0);
  t.same(tables.read(0), NO_COUNTS);
  t.equal(tables.read(1).rxBytes, 4 * possibleCpus());
});

t.test('an element of the counts has one value of four numbers per CPU', BPF, async (t) => {
  t.equal(COUNTS_SIZE, 32);
});

t.test('addCounts adds each count', async (t) => {
  const a = { txPackets: 1, txBytes: 2, rxPackets: 3, rxBytes: 4 };
  t.same(addCounts(a, NO_COUNTS), a);
  t.same(addCounts(a, a), { txPackets: 2, txBytes: 4, rxPackets: 6, rxBytes: 8 });
});

/** Returns the interface that a key of the devices has; undefined without one. */
function deviceOf({ devices }: Tables, key: number): number | undefined {
  const value = new Uint8Array(4);
  return lookUpElement(devices, Uint8Array.of(key, 0, 0, 0), value) ? value[0] : undefined;
}

t.test('setDevices sets the overlay device and the joiner', NETWORK, async (t) => {
  run('ip tuntap add dev first mode tap');
  run('ip tuntap add dev second mode tap');
  t.teardown(() => run('ip link delete first'));
  t.teardown(() => run('ip link delete second'));
  const tables = tablesFor(t);
  tables.setDevices(indexOf('first'), indexOf('second'));
  t.equal(deviceOf(tables, DEVICE.overlay), indexOf('first'));
  t.equal(deviceOf(tables, DEVICE.joiner), indexOf('second'));
});

t.test('the kernel removes a deleted device, and only that', NETWORK, async (t) => {
  run('ip tuntap add dev first mode tap');
  run('ip tuntap add dev second mode tap');
  t.teardown(() => run('ip link delete second'));
  const tables = tablesFor(t);
  tables.setDevices(indexOf('first'), indexOf('second'));
  run('ip link delete first');
  t.equal(deviceOf(tables, DEVICE.overlay), undefined);
  t.equal(deviceOf(tables, DEVICE.joiner), indexOf('second'));
});

t.test('setDevices fails for a device that does not exist', NETWORK, async (t) => {
  t.ok([ENODEV, EINVAL].includes(thrownBy(() => tablesFor(t).setDevices(4321, 1)).errno));
});

t.test('deleteElement and lookUpElement report a missing entry', BPF, async (t) => {
  const { forwarding } = tablesFor(t);
  const key = hex('0200000000010000');
  t.equal(deleteElement(forwarding, key), false);
  t.equal(lookUpElement(forwarding, key, new Uint8Array(ENTRY_SIZE)), false);
});

function thrownBy(call: () => void): SystemError {
  try {
    call();
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

t.test('readFirst reads the counts of the first numbers, as read does one by one', BPF, async (t) => {
  const tables = tablesFor(t);
  writeCounts(tables, 0, () => [1n, 2n, 3n, 4n]);
  writeCounts(tables, 2, (cpu) => [BigInt(cpu), 1n << 40n, 5n, 6n]);
  for (const length of [0, 1, 3, CAPACITY])
    t.same(
      tables.readFirst(length),
      Array.from({ length }, (_, number) => tables.read(number)),
    );
});

t.test('readFirst reads many numbers in several pieces', BPF, async (t) => {
  const length = 40_000;
  const tables = new Tables(length);
  t.teardown(() => tables.close());
  const value = new BigUint64Array(4 * possibleCpus()).fill(1n);
  updateElement(
    tables.counts,
    new Uint8Array(Uint32Array.of(length - 1).buffer),
    new Uint8Array(value.buffer),
  );
  const counts = tables.readFirst(length);
  t.equal(counts.length, length);
  t.same(counts[length - 1], tables.read(length - 1));
  t.same(counts[length - 2], NO_COUNTS);
});
