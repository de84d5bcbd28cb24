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
