/** Mappings of a YAML file, with errors that name the key and the kind of its value, but show no value. */

/** A mapping in the file, with its path for messages. */
export class Section {
  readonly path: string;
  private readonly fields: Record<string, unknown>;

  /** @throws Error for any other value */
  constructor(path: string, value: unknown) {
    if (kindOf(value) !== 'a mapping') throw new Error(`${path} is ${kindOf(value)}; it must be a mapping`);
    this.path = path;
    this.fields = value as Record<string, unknown>;
  }

  get(key: string): unknown {
    return this.fields[key] ?? undefined;
  }

  /** Returns a text; undefined if it is missing or empty. @throws Error for any other value */
  text(key: string): string | undefined {
    const value = this.get(key);
    if (value === undefined || value === '') return undefined;
    if (typeof value !== 'string')
      throw new Error(`${this.keyOf(key)} is ${kindOf(value)}; write it as text, in quotes`);
    return value;
  }

  keyOf(key: string): string {
    return `${this.path}${this.path === '' ? '' : '.'}${key}`;
  }
}

/** Returns the kind of a value in words; undefined is `missing`. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return 'a date';
  return typeof value === 'object' ? 'a mapping' : typeof value === 'string' ? 'a text' : `a ${typeof value}`;
}
