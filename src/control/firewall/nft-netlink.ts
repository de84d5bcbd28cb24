/** Deletes tables of nf_tables by netlink, so that stale rules can be removed without `nft`. */

import {
  AF_NETLINK,
  NETLINK_NETFILTER,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
  NFT_MSG_DELTABLE,
  NFT_MSG_GETTABLE,
  NFTA_TABLE_NAME,
  NLM_F_ACK,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  NLMSG_HEADER_SIZE,
  O_NONBLOCK,
  SOCK_CLOEXEC,
  SOCK_RAW,
} from '../../sys/constants.js';
import { ENOENT, EOPNOTSUPP, EPROTONOSUPPORT } from '../../sys/errno.js';
import { addressOf, close, read, socket, write } from '../../sys/ffi.js';
import { SystemError } from '../../sys/system-error.js';

/** The errors of a kernel that has no such table, or no nf_tables. */
const NO_TABLE: readonly number[] = [ENOENT, EOPNOTSUPP, EPROTONOSUPPORT];

const GET_TABLE = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE;
const DELETE_TABLE = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_DELTABLE;

/** struct nfgenmsg: family u8 @0, version u8 @1, resource u16 @2 (network order). */
const NFGENMSG_SIZE = 4;
/**
 * A size that fits any answer: a table, or a struct nlmsgerr. Its first field is the negated errno, and the request
 * follows.
 */
const ANSWER_SIZE = 256;

/**
 * Deletes a table with everything in it, as `nft delete table` does. Returns false if the table does not exist. `family` is
 * AF_INET or AF_INET6. @throws SystemError
 */
export function deleteTable(family: number, name: string): boolean {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | O_NONBLOCK, NETLINK_NETFILTER);
  const result = fd < 0 ? fd : deleteThrough(fd, family, name);
  if (fd >= 0) close(fd);
  if (NO_TABLE.includes(-result)) return false;
  if (result < 0) throw new SystemError('netlink: delete table', result);
  return true;
}

function deleteThrough(fd: number, family: number, name: string): number {
  const attribute = tableName(name);
  // A query takes microseconds. A deletion waits for all readers of rules, even if there is nothing to delete.
  const found = exchange(fd, message(GET_TABLE, NLM_F_REQUEST, family, 0, attribute));
  if (found < 0) return found;
  // nf_tables accepts changes only in batches (net/netfilter/nfnetlink.c, nfnetlink_rcv_batch).
  return exchange(
    fd,
    concatenate([
      message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES),
      message(DELETE_TABLE, NLM_F_REQUEST | NLM_F_ACK, family, 0, attribute),
      message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES),
    ]),
  );
}

/** Returns 0 or a negated errno. The kernel processes the request and queues its answer before the write returns. */
function exchange(fd: number, request: Uint8Array): number {
  const written = write(fd, addressOf(request), request.length);
  if (written < 0) return written;
  const answer = new DataView(new ArrayBuffer(ANSWER_SIZE));
  const length = read(fd, addressOf(new Uint8Array(answer.buffer)), ANSWER_SIZE);
  if (length < 0) return length;
  return answer.getUint16(4, true) === NLMSG_ERROR ? answer.getInt32(NLMSG_HEADER_SIZE, true) : 0;
}

function tableName(name: string): Uint8Array {
  const text = new TextEncoder().encode(`${name}\0`);
  const attribute = new DataView(new ArrayBuffer(4 + align(text.length)));
  attribute.setUint16(0, 4 + text.length, true);
  attribute.setUint16(2, NFTA_TABLE_NAME, true);
  const bytes = new Uint8Array(attribute.buffer);
  bytes.set(text, 4);
  return bytes;
}

/** Builds a netlink message with a struct nfgenmsg. `resource` is in network byte order, all else in host order. */
function message(
  type: number,
  flags: number,
  family: number,
  resource: number,
  payload: Uint8Array = new Uint8Array(),
): Uint8Array {
  const head = NLMSG_HEADER_SIZE + NFGENMSG_SIZE;
  const view = new DataView(new ArrayBuffer(head + payload.length));
  view.setUint32(0, view.byteLength, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint8(NLMSG_HEADER_SIZE, family);
  view.setUint16(NLMSG_HEADER_SIZE + 2, resource);
  const bytes = new Uint8Array(view.buffer);
  bytes.set(payload, head);
  return bytes;
}

function align(length: number): number {
  return (length + 3) & ~3;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
