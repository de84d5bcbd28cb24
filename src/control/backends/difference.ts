/** What has changed between what was applied and what is wanted, object by object. */

interface Difference<V> {
  gone: string[];
  /** New, or with another value. */
  set: [string, V][];
}

/** What turns `applied` into `wanted`. */
export function difference<V>(
  applied: ReadonlyMap<string, V>,
  wanted: ReadonlyMap<string, V>,
): Difference<V> {
  return {
    gone: [...applied.keys()].filter((key) => !wanted.has(key)),
    set: [...wanted].filter(([key, value]) => applied.get(key) !== value),
  };
}
