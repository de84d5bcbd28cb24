import t from 'tap';
import { VERDICT } from '../../../../src/dataplane/fast-path/helpers.js';
import { mac, toHex } from '../../../support/bytes.js';
import { frameOf, ProgramRunner, TCP_IN, withBpf } from '../../../support/fast-path.js';
import { BROADCAST, MAC_A, MAC_B } from '../../../support/frames.js';

const BPF = withBpf();

t.test('the program of the joiner passes frames to this node on, and drops others', BPF, async (t) => {
  const runner = new ProgramRunner();
  t.teardown(() => runner.close());
  const resultFor = (destination: string, packet = TCP_IN): number =>
    runner.join(frameOf(destination, MAC_B, 0x0800, packet)).result;
  t.equal(resultFor(MAC_A), VERDICT.redirect);
  t.equal(resultFor(BROADCAST), VERDICT.drop);
  // Router solicitations, which the kernel sends on a new device.
  t.equal(resultFor('33:33:00:00:00:02'), VERDICT.drop);
});

t.test('the program of the joiner changes no byte', BPF, async (t) => {
  const runner = new ProgramRunner();
  t.teardown(() => runner.close());
  const frame = frameOf(MAC_A, MAC_B, 0x0800, TCP_IN);
  t.equal(toHex(runner.join(frame).frame), toHex(frame));
});

t.test('the program of the joiner takes a MAC with the highest bits', BPF, async (t) => {
  const runner = new ProgramRunner({ mac: mac('fe:ff:ff:ff:ff:ff') });
  t.teardown(() => runner.close());
  t.equal(runner.join(frameOf('fe:ff:ff:ff:ff:ff', MAC_B, 0x0800, TCP_IN)).result, VERDICT.redirect);
  t.equal(runner.join(frameOf('ff:fe:ff:ff:ff:ff', MAC_B, 0x0800, TCP_IN)).result, VERDICT.drop);
});
