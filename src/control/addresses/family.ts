/** The two address families, and records with one value for each family. */

export type Family = 'ipv4' | 'ipv6';

/** IPv4 first: the order of log lines, files and status. */
export const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/** A value for each family in use; a family that is not in use is absent or undefined. */
export type PerFamily<T> = { readonly [F in Family]?: T | undefined };

/** Returns the families that have a value, IPv4 first. */
export function familiesIn(per: PerFamily<unknown>): Family[] {
  return FAMILIES.filter((family) => per[family] !== undefined);
}

/** Returns a record of the families' values; a family whose value is undefined is absent. */
export function perFamily<T>(
  families: readonly Family[],
  valueOf: (family: Family) => T | undefined,
): PerFamily<T> {
  const record: { [F in Family]?: T } = {};
  for (const family of families) {
    const value = valueOf(family);
    if (value !== undefined) record[family] = value;
  }
  return record;
}

/** Returns a record with every value mapped; a family without a value is absent. */
export function mapFamilies<T, U>(
  per: PerFamily<T>,
  map: (value: T, family: Family) => U | undefined,
): PerFamily<U> {
  return perFamily(familiesIn(per), (family) => map(valueIn(per, family), family));
}

/** Returns the values, IPv4 first. */
export function valuesOf<T>(per: PerFamily<T>): T[] {
  return familiesIn(per).map((family) => valueIn(per, family));
}

/** Returns the value of a family that is known to be in use. */
export function valueIn<T>(per: PerFamily<T>, family: Family): T {
  const value = per[family];
  if (value === undefined) throw new Error(`${familyName(family)} is not in use`);
  return value;
}

/** Returns the family's name in messages. */
export function familyName(family: Family): string {
  return family === 'ipv4' ? 'IPv4' : 'IPv6';
}

/** Returns the family's flag of the `ip` command. */
export function familyFlag(family: Family): string {
  return family === 'ipv4' ? '-4' : '-6';
}

/** Returns the number of bits of an address. */
export function bitsOf(family: Family): number {
  return family === 'ipv4' ? 32 : 128;
}
