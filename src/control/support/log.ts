/** Log lines on stderr, in klog's format, which operators' tools know from flanneld, or as JSON. */

import { readFileSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { oneLine } from '../../sys/one-line.js';
import { printable } from './printable.js';

export interface LogOptions {
  format: 'klog' | 'json';
  /** Highest level of `verbose` lines that are written. */
  verbosity: number;
  /** Verbosity by file; the first match counts, unless `verbosity` is higher. */
  vmodule: readonly FileVerbosity[];
  /** Position in the code, as `file.js:120`, whose log lines include the stack. */
  backtraceAt?: string | undefined;
}

export interface FileVerbosity {
  /** File name without extension; `*` and `?` are wildcards. */
  pattern: string;
  level: number;
}

const SEVERITIES = { info: 'I', warning: 'W', error: 'E' } as const;
type Level = keyof typeof SEVERITIES;

/** Modules that log for their callers. */
const HELPERS = new Set(['log.js', 'once.js', 'outage.js']);
/** Longest chain of calls through these modules. */
const HELPER_FRAMES = 8;
const BACKTRACE_FRAMES = 20;
/** A longer message is cut off: leases and servers contribute texts of any length. */
const MAX_MESSAGE = 16 << 10;

let options: LogOptions = { format: 'klog', verbosity: 0, vmodule: [] };
let silent = false;

export function configureLog(chosen: LogOptions): void {
  options = chosen;
}

/** Stops all logging, for commands that report on the terminal. */
export function silence(): void {
  silent = true;
}

export function info(message: string): void {
  write('info', message);
}

export function warn(message: string): void {
  write('warning', message);
}

export function error(message: string): void {
  write('error', message);
}

/** Writes the line if -v, or -vmodule for the calling file, is at least `level`. */
export function verbose(level: number, message: string): void {
  if (options.verbosity >= level || callersVerbosity() >= level) write('info', message);
}

function callersVerbosity(): number {
  if (options.vmodule.length === 0) return 0;
  const file = fileOf(callers(1)[0]);
  const name = file.slice(0, file.length - extname(file).length);
  return options.vmodule.find(({ pattern }) => matches(name, pattern))?.level ?? 0;
}

function matches(name: string, pattern: string): boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(name);
}

function write(level: Level, message: string): void {
  if (silent) return;
  const { format, backtraceAt } = options;
  const sites = callers(backtraceAt === undefined ? 1 : BACKTRACE_FRAMES);
  const caller = positionOf(sites[0]);
  const stack = caller === backtraceAt ? ` (stack: ${sites.map(positionOf).join(' < ')})` : '';
  const line = (format === 'json' ? jsonLine : klogLine)(level, caller, limited(message) + stack);
  process.stderr.write(`${line}\n`);
}

/** Formats a line with klog's header (klog/v2/internal/buffer): severity, date, local time, process and caller. */
function klogLine(level: Level, caller: string, message: string): string {
  const now = new Date();
  const two = (number: number): string => String(number).padStart(2, '0');
  const day = two(now.getMonth() + 1) + two(now.getDate());
  const time = now.toTimeString().slice(0, 'hh:mm:ss'.length);
  const micros = String(now.getMilliseconds() * 1000).padStart(6, '0');
  const pid = String(process.pid).padStart(7);
  return `${SEVERITIES[level]}${day} ${time}.${micros} ${pid} ${caller}] ${printable(oneLine(message))}`;
}

function jsonLine(level: Level, caller: string, msg: string): string {
  // `printable` replaces what JSON.stringify leaves as it is, also by escapes of JSON.
  return printable(JSON.stringify({ ts: new Date().toISOString(), level, caller, pid: process.pid, msg }));
}

function limited(message: string): string {
  if (message.length <= MAX_MESSAGE) return message;
  return `${message.slice(0, MAX_MESSAGE)}... (${message.length - MAX_MESSAGE} more characters)`;
}

/** Returns the calls that led to a log line, nearest first, without those inside the helpers. */
function callers(limit: number): NodeJS.CallSite[] {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.prepareStackTrace = (_, sites) => sites;
    Error.stackTraceLimit = limit + HELPER_FRAMES;
    const holder = { stack: [] as NodeJS.CallSite[] };
    Error.captureStackTrace(holder);
    const sites = holder.stack;
    const first = sites.findIndex((site) => !HELPERS.has(fileOf(site)));
    return sites.slice(first, first + limit);
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function fileOf(site: NodeJS.CallSite | undefined): string {
  return placeOf(site).file;
}

function positionOf(site: NodeJS.CallSite | undefined): string {
  const { file, line } = placeOf(site);
  return `${file}:${line}`;
}

/** For each bundle, the lines at which its modules begin (scripts/build.mjs). */
type Modules = Readonly<Record<string, readonly (readonly [line: number, file: string])[]>>;

let modules: Modules | undefined;

function readModules(): Modules {
  try {
    return JSON.parse(readFileSync(new URL('../../bundle/modules.json', import.meta.url), 'utf8')) as Modules;
  } catch {
    return {};
  }
}

/** Returns the module of a call, and the line from the module's beginning. */
function placeOf(site: NodeJS.CallSite | undefined): { file: string; line: number } {
  const file = basename(site?.getFileName() ?? '???');
  const line = site?.getLineNumber() ?? 1;
  modules ??= readModules();
  const [start, name] = modules[file]?.findLast(([first]) => first <= line) ?? [0, file];
  return { file: name, line: line - start };
}
