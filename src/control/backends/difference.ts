/** The difference between an applied and a desired state, object by object. */

interface Difference<V> {
  gone: string[];
  /** New keys, and keys whose value differs. */
  set: [string, V][];
}

/** Returns the changes that turn `applied` into `desired`. */
export function difference<V>(
  applied: ReadonlyMap<string, V>,
  desired: ReadonlyMap<string, V>,
): Difference<V> {
  return {
    gone: [...applied.keys()].filter((key) => !desired.has(key)),
    set: [...desired].filter(([key, value]) => applied.get(key) !== value),
  };
}
