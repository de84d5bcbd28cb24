/**
 * Filters of the BPF classifier at a clsact qdisc (cls_bpf, sch_ingress), by rtnetlink. It is what `tc filter add dev …
 * ingress bpf direct-action` does, but takes a program's descriptor instead of a path.
 */

import {
  ETH_P_ALL,
  NETLINK_ROUTE,
  NLM_F_CREATE,
  RTM_DELTFILTER,
  RTM_GETQDISC,
  RTM_GETTFILTER,
  RTM_NEWQDISC,
  RTM_NEWTFILTER,
  TC_H_CLSACT,
  TC_H_CLSACT_EGRESS,
  TC_H_CLSACT_INGRESS,
  TCA_BPF_FD,
  TCA_BPF_FLAG_ACT_DIRECT,
  TCA_BPF_FLAGS,
  TCA_BPF_ID,
  TCA_BPF_NAME,
  TCA_KIND,
  TCA_OPTIONS,
  TCMSG_SIZE,
} from './constants.js';
import { EINVAL, ENODEV, ENOENT } from './errno.js';
import { attribute, attributesIn, change, dump, textOf } from './netlink.js';
import { SystemError } from './system-error.js';

export type Direction = 'ingress' | 'egress';

export interface Filter {
  priority: number;
  /** Number of the filter among those of its priority. */
  handle: number;
  /** `bpf`, `u32` … */
  kind: string;
  /** Name and id of a BPF filter's program. */
  name: string;
  program: number;
}

const PARENT = { ingress: TC_H_CLSACT_INGRESS, egress: TC_H_CLSACT_EGRESS } as const;
const CLSACT_HANDLE = 0xffff0000;

function tcmsg(ifindex: number, handle: number, parent: number, priority = 0, protocol = 0): Buffer {
  const bytes = Buffer.alloc(TCMSG_SIZE);
  bytes.writeInt32LE(ifindex, 4);
  bytes.writeUInt32LE(handle, 8);
  bytes.writeUInt32LE(parent, 12);
  // The lower half is an EtherType in network order.
  bytes.writeUInt16BE(protocol, 16);
  bytes.writeUInt16LE(priority, 18);
  return bytes;
}

interface Qdisc {
  ifindex: number;
  kind: string;
}

/** Returns the qdiscs whose filters see every packet of a device. @throws SystemError */
function hookQdiscs(): Qdisc[] {
  // A dump of qdiscs lists all interfaces, whatever it asks for.
  return dump(NETLINK_ROUTE, 'list qdiscs', RTM_GETQDISC, tcmsg(0, 0, 0))
    .map((qdisc) => ({
      ifindex: qdisc.readInt32LE(4),
      kind: textOf(attributesIn(qdisc.subarray(TCMSG_SIZE)).get(TCA_KIND)),
    }))
    .filter(({ kind }) => kind === 'clsact' || kind === 'ingress');
}

/**
 * Returns whether the interface has a qdisc with this hook. An ingress qdisc has no egress hook, but the kernel takes a
 * request for it as one for ingress (sch_ingress, ingress_tcf_block).
 */
function hasHook(ifindex: number, direction: Direction): boolean {
  return hookQdiscs().some(
    (qdisc) => qdisc.ifindex === ifindex && (direction === 'ingress' || qdisc.kind === 'clsact'),
  );
}

/**
 * Adds a clsact qdisc unless the interface has this hook.
 * @throws SystemError, also for the egress hook of an interface with an ingress qdisc, which excludes clsact
 */
export function addClsact(ifindex: number, direction: Direction): void {
  if (hasHook(ifindex, direction)) return;
  const payload = Buffer.concat([tcmsg(ifindex, CLSACT_HANDLE, TC_H_CLSACT), attribute(TCA_KIND, 'clsact')]);
  change(NETLINK_ROUTE, 'add a clsact qdisc', RTM_NEWQDISC, NLM_F_CREATE, payload);
}

/** Returns the interfaces with a qdisc that has hooks. @throws SystemError */
export function hooksOf(): number[] {
  return hookQdiscs().map(({ ifindex }) => ifindex);
}

/**
 * Sets the BPF filter of this priority and handle, and replaces its program in one step. `addClsact` was called before.
 * @throws SystemError
 */
export function setFilter(
  ifindex: number,
  direction: Direction,
  { priority, handle, name }: Pick<Filter, 'priority' | 'handle' | 'name'>,
  program: number,
): void {
  const options = [
    attribute(TCA_BPF_FD, program),
    attribute(TCA_BPF_NAME, name),
    attribute(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT),
  ];
  const payload = Buffer.concat([
    tcmsg(ifindex, handle, PARENT[direction], priority, ETH_P_ALL),
    attribute(TCA_KIND, 'bpf'),
    attribute(TCA_OPTIONS, options),
  ]);
  change(NETLINK_ROUTE, 'add a BPF filter', RTM_NEWTFILTER, NLM_F_CREATE, payload);
}

/** Removes a BPF filter; a missing one, a missing hook or a missing interface is no error. @throws SystemError */
export function deleteFilter(
  ifindex: number,
  direction: Direction,
  { priority, handle }: Pick<Filter, 'priority' | 'handle'>,
): void {
  if (!hasHook(ifindex, direction)) return;
  const payload = Buffer.concat([
    tcmsg(ifindex, handle, PARENT[direction], priority, ETH_P_ALL),
    attribute(TCA_KIND, 'bpf'),
  ]);
  try {
    change(NETLINK_ROUTE, 'delete a BPF filter', RTM_DELTFILTER, 0, payload);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Returns the filters of a hook, in the order in which they see packets. @throws SystemError */
export function filtersOf(ifindex: number, direction: Direction): Filter[] {
  try {
    const filters = dump(NETLINK_ROUTE, 'list filters', RTM_GETTFILTER, tcmsg(ifindex, 0, PARENT[direction]))
      .map(parseFilter)
      .filter(({ handle }) => handle !== 0);
    return filters.length > 0 && hasHook(ifindex, direction) ? filters : [];
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function parseFilter(bytes: Buffer): Filter {
  const attributes = attributesIn(bytes.subarray(TCMSG_SIZE));
  const options = attributesIn(attributes.get(TCA_OPTIONS) ?? Buffer.alloc(0));
  const program = options.get(TCA_BPF_ID);
  return {
    priority: bytes.readUInt16LE(18),
    handle: bytes.readUInt32LE(8),
    kind: textOf(attributes.get(TCA_KIND)),
    name: textOf(options.get(TCA_BPF_NAME)),
    program: program === undefined || program.length < 4 ? 0 : program.readUInt32LE(0),
  };
}

/** Returns whether the interface, its qdisc or the filter does not exist. */
function isMissing(error: unknown): boolean {
  return error instanceof SystemError && [ENOENT, ENODEV, EINVAL].includes(error.errno);
}
