/**
 * Prints and counts tap's output for `npm test`: a line for each file, every failure with its details, and every
 * skipped test with its reason. It also prints the comments of tests (t.comment). tap loads it as a reporter
 * (`--reporter=dist/test/support/report.js`): it reads TAP, prints text, and writes the totals to the file that
 * WEFT_TEST_TOTALS names. (tap's own reporters redraw a screen, which fills a log with escape sequences, and their
 * totals leave out files that crashed.)
 */

import { writeFileSync } from 'node:fs';
import { Transform, type TransformCallback } from 'node:stream';

export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** An open level of nesting: a file, a test, a subtest. */
interface Level {
  name: string;
  /** The totals at its start. */
  before: Totals;
}

/** A line `ok` or `not ok`. */
interface Point {
  bad: boolean;
  name: string;
  /** What follows SKIP or TODO; undefined without either. */
  skipped: string | undefined;
  time: string | undefined;
}

/** Keys of a failure's details that repeat the others. */
const LEFT_OUT = /^(stack|source|typeName|tapCaught|stdio|cwd|externalID|command|args):/;

/** A comment of a test, such as a figure, but not tap's comments on every file. */
const COMMENT = /^# (?!time=|\{ |failed \d|test count|skip:|todo:|No coverage)(.+)$/;

export default class Report extends Transform {
  readonly totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  private rest = '';
  /** The subtests that are open, outermost first; level 0 is a file. */
  private levels: Level[] = [];
  /** Inside the details of a test point: their indentation, whether they are shown, and whether the key is left out. */
  private details: { indent: number; shown: boolean; hidden: boolean } | undefined;
  /** The test point before the details was a failure. */
  private failing = false;
  /** The line of a file, printed after the details of its end. */
  private closing = '';

  override _transform(chunk: unknown, _: BufferEncoding, callback: TransformCallback): void {
    const lines = (this.rest + String(chunk)).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) this.line(line);
    callback();
  }

  override _flush(callback: TransformCallback): void {
    this.line(this.rest);
    this.push(this.closing);
    const path = process.env.WEFT_TEST_TOTALS;
    if (path !== undefined) writeFileSync(path, JSON.stringify(this.totals));
    callback();
  }

  private line(line: string): void {
    const text = line.trim();
    const indent = line.length - line.trimStart().length;
    if (this.details !== undefined) return this.detail(line, text, indent);
    if (text === '---') {
      this.details = { indent, shown: this.failing, hidden: false };
      return;
    }
    this.push(this.closing);
    this.closing = '';
    const subtest = /^# Subtest: (.*)$/.exec(text);
    if (subtest !== null) {
      this.levels.length = Math.min(this.levels.length, indent / 4);
      this.levels.push({ name: subtest[1], before: { ...this.totals } });
      return;
    }
    const comment = COMMENT.exec(text);
    if (comment !== null && this.levels.length > 0) {
      this.push(`# ${this.levels.at(-1)?.name}: ${comment[1]}\n`);
      return;
    }
    const point = /^(not )?ok(?: \d+)?(?: - )?(.*?)(?: # (?:(?:skip|todo)\b *(.*)|time=(.*)))?$/i.exec(text);
    if (point === null || !/^(not )?ok\b/.test(text) || indent % 4 !== 0) return;
    const [, not, name, skipped, time] = point;
    this.point(indent / 4, { bad: not !== undefined, name, skipped, time });
  }

  private point(depth: number, point: Point): void {
    const { bad, name, skipped, time } = point;
    const { totals } = this;
    const closed = this.levels[depth];
    this.levels.length = Math.min(this.levels.length, depth);
    this.failing = false;
    if (closed !== undefined) {
      this.close(closed, point);
      if (depth === 0) this.file(closed, time);
    } else if (skipped !== undefined) {
      this.skip(name, skipped);
    } else if (bad) {
      this.failure(name);
    } else {
      totals.passed++;
    }
  }

  /** Counts the end of a subtest if it tells more than the points inside. */
  private close({ before }: Level, { bad, name, skipped }: Point): void {
    const { totals } = this;
    const same = (key: keyof Totals): boolean => totals[key] === before[key];
    // It failed and nothing inside did: it crashed or ran out of time.
    if (bad && skipped === undefined && same('failed')) this.failure(name);
    // A test without assertions, such as those of fast-check.
    else if (!bad && same('passed') && same('failed') && same('skipped')) {
      if (skipped === undefined) totals.passed++;
      else this.skip(name, skipped);
    }
  }

  private failure(name: string): void {
    this.totals.failed++;
    this.failing = true;
    this.push(`not ok: ${this.path(name)}\n`);
  }

  private skip(name: string, reason: string): void {
    this.totals.skipped++;
    this.push(`skipped: ${this.path(name)}${reason === '' ? '' : `: ${reason}`}\n`);
  }

  private path(name: string): string {
    return [...this.levels.map((level) => level.name), name].join(' > ');
  }

  private file({ name, before }: Level, time: string | undefined): void {
    const { passed, failed } = this.totals;
    const bad = failed - before.failed;
    const result = bad === 0 ? `${passed - before.passed} passed` : `${bad} FAILED`;
    this.closing = `${name}: ${result}${time === undefined ? '' : `, ${seconds(time)}`}\n`;
  }

  private detail(line: string, text: string, indent: number): void {
    const details = this.details as NonNullable<typeof this.details>;
    if (text === '...' && indent === details.indent) {
      this.details = undefined;
      return;
    }
    if (indent === details.indent && text !== '') details.hidden = LEFT_OUT.test(text);
    if (details.shown && !details.hidden) this.push(`    ${line.slice(details.indent)}\n`);
  }
}

/** Returns tap's `1.5s`, `20.6ms` or `2:03.1` in seconds. */
function seconds(time: string): string {
  const ms = /^([\d.]+)ms$/.exec(time);
  return ms === null ? time : `${(Number(ms[1]) / 1000).toFixed(1)} s`;
}
