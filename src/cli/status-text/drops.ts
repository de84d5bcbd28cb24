/** What to do about each drop counter that is not 0, in one line. docs/operations.md explains them at length. */

const ADVICE: Readonly<Record<string, string>> = {
  tx_drop_unknown_mac: 'no lease has this MAC: check the leases, and ip neigh of the device',
  tx_drop_no_route: 'no lease has this destination: check the leases',
  tx_drop_ttl: 'the TTL ended in the tunnel: look for a routing loop with traceroute',
  tx_drop_multicast: "normal: multicast, such as the kernel's own IPv6 messages",
  tx_drop_unreachable: 'the underlay has no route to the peer: ip route get <public IP>',
  tx_drop_socket_full: 'the underlay interface is slower than the traffic: check its queue',
  tx_drop_send_error: 'the kernel refused the datagram: check the underlay interface',
  tx_drop_unsegmentable: 'a pod makes odd superpackets: find the one with CAP_NET_RAW',
  tx_drop_backlog_full: 'a pod sends very small TCP segments: find it',
  tx_drop_runt: 'frames shorter than an Ethernet header: report it',
  tx_drop_not_ipv4: 'a program writes other packets to the device: find it',
  tx_drop_bad_length: 'a program writes damaged packets to the device: find it',
  tx_drop_device_overflow: 'overload: more packets than a worker forwards; see --workers',
  rx_drop_unknown_vtep: 'a source without a lease: check the leases; NAT: --peer-check mac',
  rx_drop_wrong_source_mac: "a peer's MAC is not that of its lease: check its VtepMAC",
  rx_drop_wrong_source: 'a peer sends for another subnet: look for NAT on that node',
  rx_drop_not_ipv4: 'other packets arrive: find the program that uses the port',
  rx_drop_bad_length: 'damaged packets arrive: find the program that uses the port',
  rx_drop_not_our_mac: 'a peer uses an old MAC of this node: check its leases',
  rx_drop_unknown_vni: 'another network uses the port: check the VNI of all nodes',
  rx_drop_no_vni_flag: 'another protocol uses the port: find the program',
  rx_drop_runt: 'another protocol uses the port: find the program',
  rx_drop_ttl: 'the TTL ended in the tunnel: look for a routing loop with traceroute',
  rx_drop_ecn: 'the underlay is congested, and the sender does not support ECN',
  rx_drop_truncated: 'datagrams larger than UDP allows: report it',
  rx_drop_filtered: 'unknown senders flood the port: find and block them',
  rx_drop_checksum: 'damaged datagrams: use --gso-trains=off on the sending node',
  rx_drop_socket_overflow: 'overload: more packets than a worker forwards; see --workers',
  rx_drop_device_full: 'overload: more packets than the kernel takes from the device',
  rx_drop_device_refused: 'the device refused packets: check that it is up',
  rx_drop_unsegmentable: 'a peer sends odd superpackets: find it',
};

/** Returns the counters of drops that are not 0, each with its advice. */
export function dropLines(counters: Readonly<Record<string, number>>): string[] {
  const dropped = Object.entries(counters).filter(([name, value]) => name.includes('_drop_') && value > 0);
  const width = Math.max(0, ...dropped.map(([name]) => name.length));
  return dropped.map(
    ([name, value]) =>
      `  ${name.padEnd(width)}  ${value}\n      ${ADVICE[name] ?? 'see docs/operations.md'}\n`,
  );
}
