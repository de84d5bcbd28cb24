/**
 * The content of state.json, read back. The file may be damaged, or another program may have written it. So each value is
 * parsed, checked against what Weft writes, and formatted again.
 */

import { formatCidr, parseCidr } from './addresses/cidr.js';
import { familyOf, formatIp, parseIp } from './addresses/ip.js';
import { OVERLAY_DEVICE } from './kernel/tun-holders.js';
import { isObject, parseObject } from './support/json-text.js';

export interface DeviceRecord {
  name: string;
  /** The interface index: a device of this name with another index belongs to another program. */
  index: number | undefined;
}

/** The content of state.json. */
export interface JournalState {
  pid: number | undefined;
  devices: DeviceRecord[];
  subnetFile: string | undefined;
  /** Routes that do not disappear with the device, in the form of `ip route`. */
  routes: string[];
}

/** Weft has a device per family. */
const MAX_DEVICES = 2;
/** PID_MAX_LIMIT (linux/threads.h). */
const MAX_PID = 1 << 22;
/** The kernel's interface indexes are signed. */
const MAX_INDEX = 2 ** 31 - 1;
/** PATH_MAX (linux/limits.h), with the final NUL. */
const MAX_PATH = 4095;

/**
 * Returns what a text records. Invalid parts are left out, and `onIgnored` is called once with their number.
 * @throws Error with the reason for a text that is no JSON object
 */
export function parseJournal(text: string, onIgnored: (count: number) => void): JournalState {
  const { pid, devices, subnetFile, routes } = parseObject(text);
  let ignored = 0;
  const valid = <T>(value: unknown, parse: (value: unknown) => T | undefined): T | undefined => {
    const parsed = value === undefined ? undefined : parse(value);
    if (value !== undefined && parsed === undefined) ignored++;
    return parsed;
  };
  const each = <T>(list: unknown, parse: (value: unknown) => T | undefined): T[] =>
    (valid(list, arrayOf) ?? []).flatMap((element) => valid(element, parse) ?? []);
  const found = each(devices, parseDevice);
  const state = {
    pid: valid(pid, (value) => integer(value, MAX_PID)),
    devices: found.slice(0, MAX_DEVICES),
    subnetFile: valid(subnetFile, parsePath),
    routes: [...new Set(each(routes, parseRoute))],
  };
  ignored += found.length - state.devices.length;
  if (ignored > 0) onIgnored(ignored);
  return state;
}

function arrayOf(value: unknown): unknown[] | undefined {
  return Array.isArray(value) ? value : undefined;
}

function integer(value: unknown, most: number): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most
    ? value
    : undefined;
}

/** Returns a device whose name Weft can give. */
function parseDevice(value: unknown): DeviceRecord | undefined {
  if (!isObject(value)) return undefined;
  const { name, index } = value;
  if (typeof name !== 'string' || !OVERLAY_DEVICE.test(name)) return undefined;
  const parsed = integer(index, MAX_INDEX);
  return index !== undefined && parsed === undefined ? undefined : { name, index: parsed };
}

function parsePath(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > MAX_PATH) return undefined;
  return /\p{Cc}/u.test(value) ? undefined : value;
}

/**
 * Returns a route in a form that Weft writes: `blackhole SUBNET [dev lo]`, or `SUBNET [via ADDRESS] [dev DEVICE] [onlink]`
 * with a gateway or an overlay device.
 */
function parseRoute(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const match = /^(blackhole )?([\da-f.:/]+)(?: via ([\da-f.:]+))?(?: dev ([\w.-]+))?( onlink)?$/.exec(value);
  if (match === null) return undefined;
  const [, blackhole, text = '', via, device, onlink] = match;
  const subnet = parseCidr(text);
  // A pod subnet is never the default route.
  if (subnet === undefined || subnet.prefixLength === 0) return undefined;
  const gateway = via === undefined ? undefined : parseIp(via, familyOf(subnet.base));
  if (via !== undefined && gateway === undefined) return undefined;
  if (blackhole === undefined) {
    if (device === undefined ? gateway === undefined : !OVERLAY_DEVICE.test(device)) return undefined;
  } else if (gateway !== undefined || onlink !== undefined || (device ?? 'lo') !== 'lo') return undefined;
  return [
    ...(blackhole === undefined ? [] : ['blackhole']),
    formatCidr(subnet),
    ...(gateway === undefined ? [] : [`via ${formatIp(gateway)}`]),
    ...(device === undefined ? [] : [`dev ${device}`]),
    ...(onlink === undefined ? [] : ['onlink']),
  ].join(' ');
}
