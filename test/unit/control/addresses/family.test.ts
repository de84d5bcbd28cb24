import t from 'tap';
import {
  bitsOf,
  familiesIn,
  mapFamilies,
  perFamily,
  valueIn,
  valuesOf,
} from '../../../../src/control/addresses/family.js';

t.test('familiesIn and valuesOf skip undefined and begin with IPv4', async (t) => {
  t.same(familiesIn({ ipv6: 1, ipv4: 2 }), ['ipv4', 'ipv6']);
  t.same(familiesIn({ ipv4: undefined, ipv6: 0 }), ['ipv6']);
  t.same(valuesOf({ ipv6: 1, ipv4: 2 }), [2, 1]);
  t.same(valuesOf({}), []);
});

t.test('mapFamilies and perFamily leave out a family without a value', async (t) => {
  t.strictSame(
    mapFamilies({ ipv4: 2, ipv6: undefined }, (value, family) => `${family} ${value}`),
    { ipv4: 'ipv4 2' },
  );
  t.strictSame(
    perFamily(['ipv4', 'ipv6'], (family) => (family === 'ipv4' ? undefined : 6)),
    { ipv6: 6 },
  );
});

t.test('valueIn throws for a family that is not in use', async (t) => {
  t.equal(valueIn({ ipv6: 6 }, 'ipv6'), 6);
  t.throws(() => valueIn({ ipv6: 6 }, 'ipv4'), { message: 'IPv4 is not in use' });
});

t.test('bitsOf returns the number of bits of an address', async (t) => {
  t.same([bitsOf('ipv4'), bitsOf('ipv6')], [32, 128]);
});
