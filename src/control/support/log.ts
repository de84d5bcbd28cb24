/** Log lines on stderr, in klog's form, which operators' tools know from flanneld, or as JSON. */

import { basename, extname } from 'node:path';

export interface LogOptions {
  format: 'klog' | 'json';
  /** Lines of `verbose` up to this level are written. */
  verbosity: number;
  /** The first of these that a file matches may raise its verbosity. */
  vmodule: readonly FileVerbosity[];
  /** A line of code as `file.js:120`: what it logs comes with the stack. */
  backtraceAt?: string | undefined;
}

export interface FileVerbosity {
  /** `*` and `?` over a file's name without its ending. */
  pattern: string;
  level: number;
}

const SEVERITIES = { info: 'I', warning: 'W', error: 'E' } as const;
type Level = keyof typeof SEVERITIES;

/** Frames that a stack in the log has. */
const BACKTRACE_FRAMES = 20;

let options: LogOptions = { format: 'klog', verbosity: 0, vmodule: [] };
let silent = false;

export function configureLog(chosen: LogOptions): void {
  options = chosen;
}

/** Writes no line from now on, for a command that says on the terminal what there is to say. */
export function silence(): void {
  silent = true;
}

export function info(message: string): void {
  write('info', message, info);
}

export function warn(message: string): void {
  write('warning', message, warn);
}

export function error(message: string): void {
  write('error', message, error);
}

/** A line for -v, or -vmodule for the calling file, of at least `level`. */
export function verbose(level: number, message: string): void {
  if (options.verbosity >= level || verbosityAbove(verbose) >= level) write('info', message, verbose);
}

/** What -vmodule grants the file that called `callee`. */
function verbosityAbove(callee: Callee): number {
  if (options.vmodule.length === 0) return options.verbosity;
  const [site] = callSites(callee, 1);
  const file = fileOf(site);
  const name = file.slice(0, file.length - extname(file).length);
  return options.vmodule.find(({ pattern }) => matches(name, pattern))?.level ?? options.verbosity;
}

function matches(name: string, pattern: string): boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(name);
}

function write(level: Level, message: string, callee: Callee): void {
  if (silent) return;
  const { format, backtraceAt } = options;
  const sites = callSites(callee, backtraceAt === undefined ? 1 : BACKTRACE_FRAMES);
  const caller = placeOf(sites[0]);
  const text = caller === backtraceAt ? `${message} (stack: ${sites.map(placeOf).join(' < ')})` : message;
  const line = format === 'json' ? jsonLine(level, caller, text) : klogLine(level, caller, text);
  process.stderr.write(`${line}\n`);
}

/** klog's header (klog/v2/internal/buffer): severity, date, local time, process, place. One line, whatever is in it. */
function klogLine(level: Level, caller: string, message: string): string {
  const milliseconds = now();
  const date = new Date(milliseconds);
  const two = (number: number): string => String(number).padStart(2, '0');
  const day = two(date.getMonth() + 1) + two(date.getDate());
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  const micros = String(Math.floor((milliseconds % 1000) * 1000)).padStart(6, '0');
  const pid = String(process.pid).padStart(7);
  return `${SEVERITIES[level]}${day} ${time}.${micros} ${pid} ${caller}] ${message.replaceAll(/\s*[\r\n]\s*/g, ' ')}`;
}

function jsonLine(level: Level, caller: string, msg: string): string {
  return JSON.stringify({ ts: new Date(now()).toISOString(), level, caller, pid: process.pid, msg });
}

/** Where the two clocks stood last time they were compared. */
let compared = { wall: 0, monotonic: 0 };

/**
 * Milliseconds since 1970, with microseconds behind the point. Date.now() has none, and the clock that has them does not
 * see that the time is set, as it is on a Pi some time after the start.
 */
function now(): number {
  const wall = Date.now();
  const monotonic = performance.now();
  const time = compared.wall + monotonic - compared.monotonic;
  if (time >= wall && time < wall + 1) return time;
  compared = { wall, monotonic };
  return wall;
}

type Callee = typeof info | typeof verbose;

/** The calls that led to `callee`, nearest first. */
function callSites(callee: Callee, limit: number): NodeJS.CallSite[] {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.prepareStackTrace = (_, sites) => sites;
    Error.stackTraceLimit = limit;
    const holder = { stack: [] as NodeJS.CallSite[] };
    Error.captureStackTrace(holder, callee);
    return holder.stack;
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function fileOf(site: NodeJS.CallSite | undefined): string {
  return basename(site?.getFileName() ?? '???');
}

function placeOf(site: NodeJS.CallSite | undefined): string {
  return `${fileOf(site)}:${site?.getLineNumber() ?? 1}`;
}
