/**
 * Files that people and machines write: any content gives a result or an error of one line for the operator, never
 * another exception.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { lastOf } from '../../src/control/addresses/cidr.js';
import { readNetConf } from '../../src/control/config/net-conf.js';
import { readLeaseFile } from '../../src/control/leases/file/lease-file.js';
import { UserError } from '../../src/control/support/user-error.js';

/** Values in the shape that the parsers expect, each part valid, invalid or of another type. */
const anything = fc.oneof(fc.jsonValue(), fc.constantFrom('', null, true, -1, 1.5, 1e300, [], {}));
const address = fc.oneof(fc.ipV4(), fc.constantFrom('10.244.1.0', '192.168.77.1', '::1', 'x'), anything);
const cidr = fc.oneof(
  fc.tuple(fc.ipV4(), fc.integer({ min: -1, max: 33 })).map(([ip, length]) => `${ip}/${length}`),
  fc.constantFrom('10.244.0.0/16', '10.244.1.0/24', '10.244.1.0/25', '0.0.0.0/0', 'fc00::/48', '10.0.0.0'),
  anything,
);
const mac = fc.oneof(fc.constantFrom('02:00:00:00:00:01', 'ff:ff:ff:ff:ff:ff', '02:00'), anything);

/** Makes an object with some of these keys, spelled in any case. */
function some(fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(fields, { requiredKeys: [] }).chain((value) => {
    const keys = Object.keys(value).map((key) => fc.mixedCase(fc.constant(key)));
    return fc
      .tuple(...keys)
      .map((spelled) => Object.fromEntries(Object.values(value).map((field, i) => [spelled[i], field])));
  });
}

const netConf = some({
  Network: cidr,
  network: cidr,
  EnableIPv4: fc.oneof(fc.boolean(), anything),
  EnableIPv6: fc.oneof(fc.boolean(), anything),
  SubnetLen: fc.oneof(fc.integer({ min: -1, max: 33 }), anything),
  SubnetMin: address,
  SubnetMax: address,
  Backend: fc.oneof(
    some({
      Type: fc.oneof(fc.constantFrom('vxlan', 'VXLAN', 'udp', 'x', ''), anything),
      VNI: fc.oneof(fc.integer(), anything),
      Port: fc.oneof(fc.integer({ min: -1, max: 65536 }), anything),
      MTU: fc.oneof(fc.integer({ min: -1, max: 65536 }), anything),
      Learning: fc.oneof(fc.boolean(), anything),
      DirectRouting: fc.oneof(fc.boolean(), anything),
      GBP: fc.oneof(fc.boolean(), anything),
    }),
    anything,
  ),
});

const lease = fc.oneof(
  some({
    Subnet: cidr,
    PublicIP: address,
    BackendType: fc.oneof(fc.constantFrom('vxlan', 'udp', ''), anything),
    BackendData: fc.oneof(some({ VNI: anything, VtepMAC: mac }), anything),
  }),
  anything,
);
const leases = fc.oneof(some({ leases: fc.oneof(fc.array(lease, { maxLength: 6 }), anything) }), anything);

/** Makes JSON text in some layout, sometimes damaged. */
function written(value: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  const text = fc
    .tuple(value, fc.constantFrom(0, 1, '\t'))
    .map(([content, indent]) => JSON.stringify(content, null, indent) ?? '');
  const damaged = fc
    .tuple(text, fc.nat(200), fc.nat(3), fc.string({ maxLength: 3 }))
    .map(([whole, at, length, other]) => whole.slice(0, at) + other + whole.slice(at + length));
  return fc.oneof({ weight: 3, arbitrary: text }, { weight: 2, arbitrary: damaged }, fc.string());
}

/** Fails unless `read` returns a result or throws a UserError of one line that names the file. */
async function survives(
  t: Test,
  text: fc.Arbitrary<string>,
  read: (path: string) => Promise<unknown>,
): Promise<void> {
  const path = join(t.testdir({}), 'file.json');
  await fc.assert(
    fc.asyncProperty(text, async (content) => {
      writeFileSync(path, content);
      try {
        await read(path);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        if (/[\n\r]/.test(error.message))
          throw new Error(`more than a line: ${JSON.stringify(error.message)}`);
        if (!error.message.includes(path)) throw new Error(`does not name the file: ${error.message}`);
      }
    }),
    { numRuns: 1500 },
  );
}

t.test('readNetConf returns a result or a UserError of one line for any text', async (t) => {
  await survives(t, written(netConf), readNetConf);
});

t.test('readLeaseFile returns a result or a UserError of one line for any text', async (t) => {
  await survives(t, written(leases), (path) => readLeaseFile(path, 1, ['ipv4']));
});

t.test('readLeaseFile accepts only leases that share no subnet, public IP or MAC', async (t) => {
  const path = join(t.testdir({}), 'file.json');
  const good = fc.array(
    fc.record({
      Subnet: fc
        .tuple(fc.nat(3), fc.nat(3), fc.constantFrom(16, 22, 23, 24))
        .map(([a, b, length]) => `10.${a}.${length === 16 ? 0 : b * 4}.0/${length}`),
      PublicIP: fc.nat(9).map((last) => `192.168.77.${last}`),
      BackendData: fc.option(fc.record({ VtepMAC: fc.nat(9).map((last) => `02:00:00:00:00:0${last}`) })),
    }),
    { maxLength: 5 },
  );
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(good, async (list) => {
      writeFileSync(path, JSON.stringify({ leases: list }));
      const set = await readLeaseFile(path, 1, ['ipv4']).catch((error: unknown) => {
        if (error instanceof UserError) return undefined;
        throw error;
      });
      if (set === undefined) return true;
      taken++;
      const unique = (values: unknown[]): boolean => new Set(values).size === values.length;
      const leases = set.leases.ipv4 ?? [];
      const ranges = leases
        .map(({ subnet }) => [BigInt(subnet.base), BigInt(lastOf(subnet))] as const)
        .sort((a, b) => (a[0] < b[0] ? -1 : 1));
      return (
        unique(leases.map(({ publicIp }) => publicIp)) &&
        unique(leases.map(({ vtepMac }) => vtepMac)) &&
        ranges.every(([from], index) => index === 0 || (ranges[index - 1]?.[1] ?? from) < from)
      );
    }),
    { numRuns: 500 },
  );
  t.ok(taken > 50, `${taken} of 500 sets were accepted`);
});
