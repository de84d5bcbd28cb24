import t from 'tap';
import { OverflowCounters } from '../../../../src/dataplane/io/overflows.js';

/** The text of /proc/net/dev with two devices, of which flannel.1 has this many transmit drops. */
function netDev(drops: number): string {
  return `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
 flannel.10:       1       2    3    4    5     6          7         8        9      10   11   99   13    14      15         16
flannel.1:       1       2    3    4    5     6          7         8        9      10   11   ${drops}   13    14      15         16
`;
}

/** Counters of a device whose name and drops the test sets. */
function rig(): { device: { name: string | undefined; drops: number }; drops(): number } {
  const device: { name: string | undefined; drops: number } = { name: 'flannel.1', drops: 0 };
  const overflows = new OverflowCounters(
    () => device.name,
    { read: () => ({ rx_drop_socket_overflow: 0, rx_drop_checksum: 0, rx_drop_filtered: 0 }) },
    () => netDev(device.drops),
  );
  return { device, drops: () => overflows.read().tx_drop_device_overflow };
}

t.test(
  'OverflowCounters reads the transmit drops of its device, not of one with a longer name',
  async (t) => {
    const { device, drops } = rig();
    t.equal(drops(), 0);
    device.drops = 7;
    t.equal(drops(), 7);
  },
);

t.test('OverflowCounters follows a rename', async (t) => {
  const { device, drops } = rig();
  device.name = 'flannel.10';
  t.equal(drops(), 99);
});

t.test(
  'OverflowCounters keeps the last count of a deleted device, also when another takes its name',
  async (t) => {
    const { device, drops } = rig();
    device.drops = 7;
    drops();
    device.name = undefined;
    device.drops = 500;
    t.equal(drops(), 7);
  },
);

t.test('OverflowCounters keeps the last count of a device that left the network namespace', async (t) => {
  const { device, drops } = rig();
  device.drops = 7;
  drops();
  device.name = 'flannel.2';
  t.equal(drops(), 7);
});

t.test('OverflowCounters leaves out the drops of an attached device before', async (t) => {
  let drops = 40;
  const overflows = new OverflowCounters(
    () => 'flannel.1',
    { read: () => ({ rx_drop_socket_overflow: 0, rx_drop_checksum: 0, rx_drop_filtered: 0 }) },
    () => netDev(drops),
  );
  drops = 43;
  t.equal(overflows.read().tx_drop_device_overflow, 3);
});
