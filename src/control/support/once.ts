/** Log lines that repeat with every check, written only when they change. */

import { warn } from './log.js';

type Write = (message: string) => void;

/** One state that is either fine or has one message. */
export class Once {
  private last: string | undefined;

  /** Writes the message unless it is the last one written. */
  log(message: string, write: Write = warn): void {
    if (message === this.last) return;
    this.last = message;
    write(message);
  }

  /** Forgets the last message: the state is fine again. */
  clear(): void {
    this.last = undefined;
  }
}

/** A state with any number of messages at a time. */
export class OnceEach {
  private last: ReadonlySet<string> = new Set();

  /** Writes the messages that the previous call did not have; an empty set forgets all. */
  log(messages: Iterable<string>, write: Write = warn): void {
    const current = new Set(messages);
    for (const message of current) if (!this.last.has(message)) write(message);
    this.last = current;
  }
}

/** Any number of states, each with its own last message. */
export class OncePerKey {
  private readonly last = new Map<string, string>();

  /** Writes the message unless it is the last one written for this key. */
  log(key: string, message: string, write: Write = warn): void {
    if (this.last.get(key) === message) return;
    this.last.set(key, message);
    write(message);
  }

  /** Forgets the last message of a key. Returns true if there was one. */
  clear(key: string): boolean {
    return this.last.delete(key);
  }

  /** Forgets the messages of all other keys. */
  retain(isKept: (key: string) => boolean): void {
    for (const key of this.last.keys()) if (!isKept(key)) this.last.delete(key);
  }
}
