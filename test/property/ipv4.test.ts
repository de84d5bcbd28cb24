import fc from 'fast-check';
import t from 'tap';
import { baseOf, contains, formatCidr, lastOf, parseCidr } from '../../src/control/addresses/cidr.js';
import { formatIp, parseIpv4 } from '../../src/control/addresses/ip.js';
import { formatMac, parseVtepMac, splitMac } from '../../src/control/addresses/mac.js';
import { macKey } from '../../src/dataplane/tunnel/learned.js';

const address = fc.nat(0xffffffff);
const prefix = fc.nat(32);

t.test('parseIpv4 returns the address that formatIp wrote', async () => {
  fc.assert(fc.property(address, (value) => parseIpv4(formatIp(value)) === value));
});

t.test('formatIp returns the text that parseIpv4 read', async () => {
  fc.assert(fc.property(fc.ipV4(), (text) => formatIp(parseIpv4(text) as number) === text));
});

t.test('formatIp writes a signed address like the unsigned one', async () => {
  fc.assert(fc.property(address, (value) => formatIp(value | 0) === formatIp(value)));
});

t.test('parseCidr returns the network that was written', async () => {
  fc.assert(
    fc.property(address, prefix, (value, length) => {
      const base = baseOf(value, length);
      const parsed = parseCidr(formatCidr({ base, prefixLength: length }));
      return parsed?.base === base && parsed.prefixLength === length;
    }),
  );
});

t.test('no text makes the parsers throw, and what they accept is written the same', async () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: fc.constantFrom(...'0123456789./:x -') }),
    fc.ipV4Extended(),
  );
  fc.assert(
    fc.property(text, (input) => {
      const parsed = parseIpv4(input);
      const cidr = parseCidr(input);
      return (
        (parsed === undefined || formatIp(parsed) === input) &&
        (cidr === undefined || input.endsWith(`/${cidr.prefixLength}`))
      );
    }),
    { numRuns: 1000 },
  );
});

t.test('a network contains exactly its addresses from first to last', async () => {
  fc.assert(
    fc.property(address, prefix, address, (value, length, other) => {
      const network = { base: baseOf(value, length), prefixLength: length };
      const inside = other >= network.base && other <= lastOf(network);
      return (
        contains(network, { base: other, prefixLength: 32 }) === inside &&
        contains(network, { base: value, prefixLength: 32 }) &&
        BigInt(lastOf(network)) - BigInt(network.base) === 2n ** BigInt(32 - length) - 1n
      );
    }),
  );
});

t.test('a MAC has the same value as text, as one number and as two', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 48 - 1 }), (number) => {
      const text = formatMac(number);
      const { high, low } = splitMac(text);
      const unicast = (Number.parseInt(text.slice(0, 2), 16) & 1) === 0;
      return (
        macKey(high, low) === number && parseVtepMac(text.toUpperCase()) === (unicast ? text : undefined)
      );
    }),
  );
});
