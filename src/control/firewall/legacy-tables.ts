/** The tables of legacy iptables that are in use. */

import { readFile } from 'node:fs/promises';
import type { Family } from '../addresses/family.js';

const LOADED_TABLES: Record<Family, string> = {
  ipv4: '/proc/net/ip_tables_names',
  ipv6: '/proc/net/ip6_tables_names',
};

/** Returns whether a table is in use. Listing an unused table would load it, and connection tracking too. */
export async function isLegacyTableLoaded(family: Family, table: string): Promise<boolean> {
  const names = await readFile(LOADED_TABLES[family], 'utf8').catch(() => '');
  return names.split('\n').includes(table);
}
