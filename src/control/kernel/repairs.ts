/** Repaired objects, counted by kind. */

/** The number of repaired objects by kind: `address`, `route` … */
export type Repairs = Record<string, number>;

/** Adds up the counts of each kind. */
export function sumRepairs(...all: readonly Repairs[]): Repairs {
  const sum: Repairs = {};
  for (const [kind, count] of all.flatMap((repairs) => Object.entries(repairs)))
    sum[kind] = (sum[kind] ?? 0) + count;
  return sum;
}
