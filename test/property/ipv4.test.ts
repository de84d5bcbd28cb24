import fc from 'fast-check';
import t from 'tap';
import { formatSubnet, holds } from '../../src/control/addresses/address.js';
import {
  formatIpv4,
  lastAddress,
  networkOf,
  parseCidr,
  parseIpv4,
} from '../../src/control/addresses/ipv4.js';
import { formatMac, parseVtepMac, splitMac } from '../../src/control/addresses/mac.js';
import { macKey } from '../../src/dataplane/tunnel/learned.js';

const address = fc.nat(0xffffffff);
const prefix = fc.nat(32);

t.test('parseIpv4 returns the address that formatIpv4 wrote', async () => {
  fc.assert(fc.property(address, (value) => parseIpv4(formatIpv4(value)) === value));
});

t.test('formatIpv4 returns the text that parseIpv4 read', async () => {
  fc.assert(fc.property(fc.ipV4(), (text) => formatIpv4(parseIpv4(text) as number) === text));
});

t.test('formatIpv4 writes a signed address like the unsigned one', async () => {
  fc.assert(fc.property(address, (value) => formatIpv4(value | 0) === formatIpv4(value)));
});

t.test('parseCidr returns the network that was written', async () => {
  fc.assert(
    fc.property(address, prefix, (value, length) => {
      const base = networkOf(value, length);
      const parsed = parseCidr(formatSubnet({ base, prefix: length }));
      return parsed?.address === base && parsed.prefix === length;
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
        (parsed === undefined || formatIpv4(parsed) === input) &&
        (cidr === undefined || `${formatIpv4(cidr.address)}/${cidr.prefix}` === input)
      );
    }),
    { numRuns: 1000 },
  );
});

t.test('a network contains exactly its addresses from first to last', async () => {
  fc.assert(
    fc.property(address, prefix, address, (value, length, other) => {
      const network = { base: networkOf(value, length), prefix: length };
      const inside = other >= network.base && other <= lastAddress(network);
      return (
        holds(network, { base: other, prefix: 32 }) === inside &&
        holds(network, { base: value, prefix: 32 }) &&
        lastAddress(network) - network.base === 2 ** (32 - length) - 1
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
