/**
 * JSON files that people write. Every error names the file, the line and the path of the value. As in Go's encoding/json,
 * with which flannel reads the same files, keys match regardless of case and the last duplicate wins.
 */

import { lineOf, syntaxErrorIn } from './json-position.js';
import { JsonLimitError, parseJson } from './json-text.js';
import { readTextFile } from './read-file.js';
import { show, UserError } from './user-error.js';

/** One object in the file, with its path. */
export class JsonObject {
  readonly file: JsonFile;
  readonly path: string;
  private readonly fields: Readonly<Record<string, unknown>>;

  constructor(file: JsonFile, path: string, value: object) {
    this.file = file;
    this.path = path;
    this.fields = value as Record<string, unknown>;
  }

  /** Returns the value of a key; undefined if it is missing or null. */
  get(key: string): unknown {
    const spelled = this.spelled(key);
    return spelled === undefined ? undefined : (this.fields[spelled] ?? undefined);
  }

  /** Returns the path of a key, spelled as in the file. */
  pathOf(key: string): string {
    const spelled = this.spelled(key) ?? key;
    return this.path === '' ? spelled : `${this.path}.${spelled}`;
  }

  /** Returns a key as the file spells it, the last one of several; undefined if the object does not have it. */
  private spelled(key: string): string | undefined {
    let found: string | undefined;
    for (const candidate in this.fields) {
      if (candidate === key || isSameKey(candidate, key)) found = candidate;
    }
    return found;
  }

  string(key: string): string | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== 'string') throw this.error(key, 'must be a string');
    return value;
  }

  boolean(key: string): boolean | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== 'boolean') throw this.error(key, 'must be true or false');
    return value;
  }

  /** Returns a whole number from `min` to `max`. @throws UserError for any other value */
  integer(key: string, min: number, max: number): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw this.error(key, `must be a whole number from ${min} to ${max}`);
    }
    return value;
  }

  object(key: string): JsonObject | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) throw this.error(key, 'must be an object { ... }');
    return new JsonObject(this.file, this.pathOf(key), value as object);
  }

  objects(key: string): JsonObject[] | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const path = this.pathOf(key);
    if (!Array.isArray(value)) throw this.error(key, 'must be an array [ ... ]');
    return value.map((element: unknown, index) => {
      if (typeof element !== 'object' || element === null || Array.isArray(element)) {
        throw this.file.error(`${path}[${index}]`, element, 'must be an object { ... }');
      }
      return new JsonObject(this.file, `${path}[${index}]`, element);
    });
  }

  /** Returns the error for a bad value of a key; `what` states the rule or the remedy. */
  error(key: string, what: string): UserError {
    return this.file.error(this.pathOf(key), this.get(key), what);
  }
}

/** The same length is no proof, but spares most keys of thirty thousand objects a conversion. */
function isSameKey(a: string, b: string): boolean {
  return a.length === b.length && a.toLowerCase() === b.toLowerCase();
}

export class JsonFile {
  /** The flag that named the file, for messages. */
  readonly flag: string;
  readonly path: string;
  readonly root: JsonObject;
  private readonly text: string;

  private constructor(flag: string, path: string, text: string, value: object) {
    this.flag = flag;
    this.path = path;
    this.text = text;
    this.root = new JsonObject(this, '', value);
  }

  /** Reads the file of at most `limit` bytes; its root must be an object. @throws UserError */
  static async read(flag: string, path: string, limit?: number): Promise<JsonFile> {
    return JsonFile.parse(flag, path, await readText(flag, path, limit));
  }

  /** Parses a text; `path` names its file or etcd key in messages. @throws UserError */
  static parse(flag: string, path: string, text: string): JsonFile {
    let value: unknown;
    try {
      value = parseJson(text);
    } catch (error) {
      if (error instanceof JsonLimitError) {
        throw new UserError(`${path} (${flag}): ${error.message}; correct it, or name the right file`);
      }
      throw syntaxError(flag, path, text);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new UserError(`${path} (${flag}): it must be one JSON object { ... }, not ${show(value)}`);
    }
    return new JsonFile(flag, path, text, value);
  }

  /** Returns the error `file:line (flag): the.path is value: what`. */
  error(path: string, value: unknown, what: string): UserError {
    const line = lineOf(this.text, path);
    const found = value === undefined ? 'is missing' : `is ${show(value)}`;
    return new UserError(`${this.path}:${line} (${this.flag}): ${path} ${found}: ${what}`);
  }
}

/** Reads a file that a flag names, of at most `limit` bytes. @throws UserError */
export async function readText(flag: string, path: string, limit?: number): Promise<string> {
  try {
    return await readTextFile(path, limit);
  } catch (error) {
    throw new UserError(`${flag} ${path}: ${(error as Error).message}`);
  }
}

function syntaxError(flag: string, path: string, text: string): UserError {
  if (text.trim() === '') return new UserError(`${path}:1 (${flag}): not JSON: the file is empty`);
  const { line, column, reason } = syntaxErrorIn(text);
  return new UserError(`${path}:${line}:${column} (${flag}): not JSON: ${reason}`);
}
