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
  const gone: string[] = [];
  const set: [string, V][] = [];
  // Mostly a few of thousands differ: `forEach` makes no object for the others.
  applied.forEach((_, key) => {
    if (!desired.has(key)) gone.push(key);
  });
  desired.forEach((value, key) => {
    if (applied.get(key) !== value) set.push([key, value]);
  });
  return { gone, set };
}
