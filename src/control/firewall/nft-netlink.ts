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
    Buffer.concat([
      message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES),
      message(DELETE_TABLE, NLM_F_REQUEST | NLM_F_ACK, family, 0, attribute),
      message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES),
    ]),
  );
}

/** Returns 0 or a negated errno. The kernel processes the request and queues its answer before the write returns. */
function exchange(fd: number, request: Buffer): number {
  const written = write(fd, addressOf(request), request.length);
  if (written < 0) return written;
  const answer = Buffer.alloc(ANSWER_SIZE);
  const length = read(fd, addressOf(answer), ANSWER_SIZE);
  if (length < 0) return length;
  return answer.readUInt16LE(4) === NLMSG_ERROR ? answer.readInt32LE(NLMSG_HEADER_SIZE) : 0;
}

function tableName(name: string): Buffer {
  const length = 4 + name.length + 1;
  const attribute = Buffer.alloc((length + 3) & ~3);
  attribute.writeUInt16LE(length, 0);
  attribute.writeUInt16LE(NFTA_TABLE_NAME, 2);
  attribute.write(name, 4, 'latin1');
  return attribute;
}

/** Builds a netlink message with a struct nfgenmsg. `resource` is in network byte order, all else in host order. */
function message(
  type: number,
  flags: number,
  family: number,
  resource: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(NLMSG_HEADER_SIZE + NFGENMSG_SIZE);
  head.writeUInt32LE(head.length + payload.length, 0);
  head.writeUInt16LE(type, 4);
  head.writeUInt16LE(flags, 6);
  head.writeUInt8(family, NLMSG_HEADER_SIZE);
  head.writeUInt16BE(resource, NLMSG_HEADER_SIZE + 2);
  return Buffer.concat([head, payload]);
}
