/** Options of each tunnel type, and the fixed properties that device, sockets and ports take from it. */

import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { VXLAN_LENGTH } from '../wire/vxlan.js';

/**
 * Which packets a node accepts from the underlay.
 *
 * - `strict`: the outer source is a lease's public IP, and the inner source belongs to that lease (vxlan: its VTEP MAC;
 *   udp: its subnet).
 * - `mac`: the inner source belongs to some lease; the outer source may be any address (peers behind NAT).
 * - `off`: any packet, as the kernel's vxlan device does.
 */
export type PeerCheck = 'strict' | 'mac' | 'off';

export interface VxlanOptions {
  vni: number;
  peerCheck: PeerCheck;
  learning: boolean;
}

export interface UdpTunnelOptions {
  /** The device's own address (IPv4, host order, signed), which ICMP errors are sent from. */
  address: number;
  peerCheck: PeerCheck;
}

export type TunnelOptions = ({ type: 'vxlan' } & VxlanOptions) | ({ type: 'udp' } & UdpTunnelOptions);

/** The properties of every tunnel of one type, independent of its options. */
export interface TunnelTraits {
  /** Kind of the overlay device: a TAP carries Ethernet frames, a TUN carries IP packets. */
  readonly device: 'tap' | 'tun';
  /** Bytes of the link-layer header in front of each inner IP packet. */
  readonly linkLength: number;
  /** Bytes of the tunnel header in front of each inner packet. */
  readonly headerLength: number;
  /** Whether a peer may be the kernel, which sends superpackets with unfinished checksums. */
  readonly kernelPeers: boolean;
  /** Whether datagrams leave from transmit sockets; otherwise they leave from the port that receives. */
  readonly txSockets: boolean;
  readonly ipv6Underlay: boolean;
}

export const TUNNEL_TRAITS: Record<TunnelOptions['type'], TunnelTraits> = {
  vxlan: {
    device: 'tap',
    linkLength: ETHERNET_LENGTH,
    headerLength: VXLAN_LENGTH,
    kernelPeers: true,
    txSockets: true,
    ipv6Underlay: true,
  },
  // flannel's udp backend sends from the port that it receives on, over IPv4 only.
  udp: {
    device: 'tun',
    linkLength: 0,
    headerLength: 0,
    kernelPeers: false,
    txSockets: false,
    ipv6Underlay: false,
  },
};
