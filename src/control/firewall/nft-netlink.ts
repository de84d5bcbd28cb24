/** Deletes tables of nf_tables by netlink, so that stale rules can be removed without `nft`. */

import {
  NETLINK_NETFILTER,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
  NFT_MSG_DELTABLE,
  NFT_MSG_GETTABLE,
  NFTA_TABLE_NAME,
  NLM_F_ACK,
} from '../../sys/constants.js';
import { ENOENT, EOPNOTSUPP, EPROTONOSUPPORT } from '../../sys/errno.js';
import { attribute, exchange, message } from '../../sys/netlink.js';
import { SystemError } from '../../sys/system-error.js';

/** The errors of a kernel that has no such table, or no nf_tables. */
const NO_TABLE: readonly number[] = [ENOENT, EOPNOTSUPP, EPROTONOSUPPORT];

const GET_TABLE = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE;
const DELETE_TABLE = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_DELTABLE;

/** struct nfgenmsg: family u8 @0, version u8 @1, resource u16 @2 (network order). */
const NFGENMSG_SIZE = 4;
const WHAT = 'netlink: delete table';

/**
 * Deletes a table with everything in it, as `nft delete table` does. Returns false if the table does not exist. `family` is
 * AF_INET or AF_INET6. @throws SystemError
 */
export function deleteTable(family: number, name: string): boolean {
  const table = Buffer.concat([nfgenmsg(family, 0), attribute(NFTA_TABLE_NAME, name)]);
  // nf_tables accepts changes only in batches (net/netfilter/nfnetlink.c, nfnetlink_rcv_batch).
  const batch = [
    message(NFNL_MSG_BATCH_BEGIN, 0, nfgenmsg(0, NFNL_SUBSYS_NFTABLES)),
    message(DELETE_TABLE, NLM_F_ACK, table),
    message(NFNL_MSG_BATCH_END, 0, nfgenmsg(0, NFNL_SUBSYS_NFTABLES)),
  ];
  try {
    // A query takes microseconds. A deletion waits for all readers of rules, even if there is nothing to delete.
    exchange(NETLINK_NETFILTER, WHAT, message(GET_TABLE, 0, table));
    exchange(NETLINK_NETFILTER, WHAT, Buffer.concat(batch));
    return true;
  } catch (error) {
    if (error instanceof SystemError && NO_TABLE.includes(error.errno)) return false;
    throw error;
  }
}

/** Returns a struct nfgenmsg. `resource` is in network byte order. */
function nfgenmsg(family: number, resource: number): Buffer {
  const bytes = Buffer.alloc(NFGENMSG_SIZE);
  bytes.writeUInt8(family, 0);
  bytes.writeUInt16BE(resource, 2);
  return bytes;
}
