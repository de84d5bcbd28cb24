/**
 * Constants of the Linux ABI, each with its header and, if newer than 3.10, the first kernel that has it. All values are
 * those of the generic ABI (x86-64, arm64, riscv64).
 */

// asm-generic/fcntl.h
export const O_RDWR = 0x2;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;

// linux/socket.h
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0x80000;
export const MSG_CTRUNC = 0x8;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_CMSG_CLOEXEC = 0x40000000;
export const SCM_RIGHTS = 1;
/** Most descriptors of one message (SCM_MAX_FD, net/scm.h). */
export const SCM_MAX_FD = 253;

// asm-generic/socket.h
export const SOL_SOCKET = 1;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_REUSEPORT = 15; // 3.9
export const SO_SNDTIMEO = 21;
export const SO_ATTACH_FILTER = 26;
export const SO_DETACH_FILTER = 27;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_MEMINFO = 55; // 4.12

// linux/sock_diag.h: the words of SO_MEMINFO
export const SK_MEMINFO_DROPS = 8;
export const SK_MEMINFO_VARS = 9;

// linux/udp.h
export const SOL_UDP = 17;
export const UDP_SEGMENT = 103; // 4.18
export const UDP_GRO = 104; // 5.0

// linux/in.h
export const IPPROTO_IP = 0;
export const IP_TOS = 1;
export const IP_MTU_DISCOVER = 10;
export const IP_RECVTOS = 13;
export const IP_PMTUDISC_DONT = 0;
export const IP_PMTUDISC_PROBE = 3; // DF, whatever path MTU the kernel knows

// linux/in6.h
export const IPPROTO_IPV6 = 41;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_V6ONLY = 26;
export const IPV6_RECVTCLASS = 66;
export const IPV6_TCLASS = 67;
export const IPV6_PMTUDISC_DONT = 0;
export const IPV6_PMTUDISC_PROBE = 3;

// asm-generic/poll.h
export const POLLIN = 0x1;
export const POLLOUT = 0x4;
export const POLLERR = 0x8;
export const POLLHUP = 0x10;
export const POLLNVAL = 0x20;

// asm-generic/mman-common.h
export const MADV_DONTNEED = 4;

// linux/capability.h
export const LINUX_CAPABILITY_VERSION_3 = 0x20080522; // 2.6.26

// linux/prctl.h
export const PR_CAPBSET_READ = 23;
export const PR_CAPBSET_DROP = 24;
export const PR_SET_NO_NEW_PRIVS = 38; // 3.5
export const PR_GET_NO_NEW_PRIVS = 39; // 3.5
export const PR_CAP_AMBIENT = 47; // 4.3
export const PR_CAP_AMBIENT_RAISE = 2; // 4.3

// sys/eventfd.h
export const EFD_NONBLOCK = 0x800;
export const EFD_CLOEXEC = 0x80000;

// linux/if_tun.h
export const TUNSETIFF = 0x400454ca;
export const TUNGETIFF = 0x800454d2; // 2.6.27
export const TUNSETPERSIST = 0x400454cb; // 1 or 0 is passed by value
export const TUNSETOFFLOAD = 0x400454d0; // the bits are passed by value
export const TUNSETSNDBUF = 0x400454d4;
export const IFF_TUN = 0x0001;
export const IFF_TAP = 0x0002;
export const IFF_NAPI = 0x0010; // 4.15
export const IFF_MULTI_QUEUE = 0x0100; // 3.8
export const IFF_NO_PI = 0x1000;
export const IFF_VNET_HDR = 0x4000; // 2.6.27
export const IFF_TUN_EXCL = 0x8000;
export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;
export const TUN_F_USO4 = 0x20; // 6.2, only together with USO6
export const TUN_F_USO6 = 0x40; // 6.2

// linux/if.h
export const IFNAMSIZ = 16;
export const IFREQ_SIZE = 40;

// Structure sizes and offsets on a 64-bit little-endian machine (bits/types/struct_iovec.h, linux/socket.h, linux/in.h,
// linux/in6.h).
export const IOVEC_SIZE = 16; // base u64 @0, len u64 @8
export const MSGHDR_SIZE = 56;
export const MMSGHDR_SIZE = 64; // msghdr @0, msg_len u32 @56
export const MSGHDR_NAME = 0;
export const MSGHDR_NAMELEN = 8;
export const MSGHDR_IOV = 16;
export const MSGHDR_IOVLEN = 24;
export const MSGHDR_CONTROL = 32;
export const MSGHDR_CONTROLLEN = 40;
export const MSGHDR_FLAGS = 48;
export const MMSGHDR_LEN = 56;
export const SOCKADDR_IN_SIZE = 16; // family u16 @0 (host order), port u16 @2 (network order), address u32 @4 (network order)
export const SOCKADDR_UN_SIZE = 110; // family u16 @0 (host order), path @2, ended by a zero byte (linux/un.h)
export const SOCKADDR_IN6_SIZE = 28; // family u16 @0, port u16 @2 (network order), flowinfo u32 @4, address 16 B @8, scope u32 @24
export const POLLFD_SIZE = 8; // fd i32 @0, events i16 @4, revents i16 @6
export const TIMESPEC_SIZE = 16; // seconds i64 @0, nanoseconds i64 @8
export const CLOCK_REALTIME = 0; // linux/time.h
export const CLOCK_MONOTONIC = 1;
export const TIMEVAL_SIZE = 16; // seconds i64 @0, microseconds i64 @8
export const SOCKADDR_LL_SIZE = 20; // linux/if_packet.h: family u16 @0, protocol u16 @2 (network order), ifindex i32 @4, rest @8
export const TIMEX_SIZE = 208; // linux/timex.h: modes u32 @0, status i32 @40
export const SOCK_FILTER_SIZE = 8; // linux/filter.h: code u16 @0, jumps u8 @2 and @3, k u32 @4
export const SOCK_FPROG_SIZE = 16; // linux/filter.h: instructions u16 @0, pointer u64 @8
export const CMSGHDR_SIZE = 16; // len u64 @0, level i32 @8, type i32 @12, data @16

// linux/netlink.h
export const NETLINK_NETFILTER = 12;
export const NLMSG_HEADER_SIZE = 16; // length u32 @0, type u16 @4, flags u16 @6, sequence u32 @8, port u32 @12
export const NLMSG_ERROR = 2; // errno 0 acknowledges the request
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;

// linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h: 3.13
export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;
export const NFNL_SUBSYS_NFTABLES = 10;
export const NFT_MSG_GETTABLE = 1;
export const NFT_MSG_DELTABLE = 2;
export const NFTA_TABLE_NAME = 1;

// linux/bpf.h: commands of bpf(2), and the oldest kernel of the fast path, 5.13, has all but TCX
export const BPF_MAP_CREATE = 0;
export const BPF_MAP_LOOKUP_ELEM = 1;
export const BPF_MAP_UPDATE_ELEM = 2;
export const BPF_MAP_DELETE_ELEM = 3;
export const BPF_PROG_LOAD = 5;
export const BPF_OBJ_PIN = 6;
export const BPF_OBJ_GET = 7;
export const BPF_PROG_TEST_RUN = 10;
export const BPF_OBJ_GET_INFO_BY_FD = 15;
export const BPF_MAP_LOOKUP_BATCH = 24;
export const BPF_MAP_UPDATE_BATCH = 26;
export const BPF_LINK_CREATE = 28;
export const BPF_LINK_UPDATE = 29;
export const BPF_MAP_TYPE_HASH = 1;
export const BPF_MAP_TYPE_PERCPU_ARRAY = 6;
export const BPF_MAP_TYPE_DEVMAP = 14; // look-ups by programs: 5.3
export const BPF_PROG_TYPE_SCHED_CLS = 3;
export const BPF_TCX_INGRESS = 46; // 6.6
export const BPF_TCX_EGRESS = 47; // 6.6
export const BPF_LINK_TYPE_TCX = 11; // 6.6
export const BPF_OBJ_NAME_LEN = 16;
export const BPF_INSTRUCTION_SIZE = 8; // code u8 @0, registers u8 @1, offset i16 @2, immediate i32 @4
// linux/magic.h
export const BPF_FS_MAGIC = 0xcafe4a11;

// linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h
export const NETLINK_ROUTE = 0;
export const NLMSG_DONE = 3;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;
export const RTM_NEWQDISC = 36;
export const RTM_GETQDISC = 38;
export const RTM_NEWTFILTER = 44;
export const RTM_DELTFILTER = 45;
export const RTM_GETTFILTER = 46;
export const TCMSG_SIZE = 20; // family u8 @0, ifindex i32 @4, handle u32 @8, parent u32 @12, info u32 @16
export const TC_H_CLSACT = 0xfffffff1; // 4.5
export const TC_H_CLSACT_INGRESS = 0xfffffff2;
export const TC_H_CLSACT_EGRESS = 0xfffffff3;
export const TCA_KIND = 1;
export const TCA_OPTIONS = 2;
export const TCA_BPF_FD = 6;
export const TCA_BPF_NAME = 7;
export const TCA_BPF_FLAGS = 8;
export const TCA_BPF_ID = 11; // 4.11
export const TCA_BPF_FLAG_ACT_DIRECT = 1;
export const ETH_P_ALL = 3;
export const ETH_P_IP = 0x0800;

// linux/xfrm.h
export const NETLINK_XFRM = 6;
export const XFRM_MSG_GETPOLICY = 21;

// linux/sockios.h, linux/ethtool.h
export const SIOCETHTOOL = 0x8946;
export const ETHTOOL_STSO = 0x1f;
export const ETHTOOL_SGRO = 0x2c;

// linux/timex.h
export const TIME_ERROR = 5;
