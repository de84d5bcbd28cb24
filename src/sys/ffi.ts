/**
 * The only module with foreign functions: Weft makes its system calls here, with koffi.
 *
 * Contract: a function returns the result of the C function, or the negated errno. It never throws and never retries.
 * The forwarding loop passes memory as absolute addresses inside an arena, set-up code as a Uint8Array. The caller keeps
 * that memory alive until the call returns.
 */

import koffi from 'koffi';

// null loads the process's own symbols, which include the C library under any name (glibc, musl).
const libc = koffi.load(null);

const errno = koffi.errno;
// ioctl, open and prctl are variadic in C. The calling conventions of every 64-bit Linux pass a few variadic pointers or
// integers like fixed arguments.
const cOpen = libc.func('int open(const char *path, int flags)');
const cClose = libc.func('int close(int fd)');
const cDup3 = libc.func('int dup3(int from, int to, int flags)');
const cIoctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
const cIoctlValue = libc.func('int ioctl(int fd, unsigned long request, unsigned long argument)');
const cSocket = libc.func('int socket(int domain, int type, int protocol)');
const cBind = libc.func('int bind(int fd, void *address, uint32_t length)');
const cSetsockopt = libc.func('int setsockopt(int fd, int level, int name, void *value, uint32_t length)');
const cGetsockname = libc.func('int getsockname(int fd, void *address, void *length)');
const cGetsockopt = libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)');
const cSendmsg = libc.func('long sendmsg(int fd, void *message, int flags)');
const cRecvmsg = libc.func('long recvmsg(int fd, void *message, int flags)');
const cSendto = libc.func(
  'long sendto(int fd, void *data, size_t length, int flags, void *address, uint32_t size)',
);
const cRecvfrom = libc.func(
  'long recvfrom(int fd, void *data, size_t length, int flags, void *address, void *size)',
);
const cAdjtimex = optional('int adjtimex(void *state)');
const cEventfd = libc.func('int eventfd(unsigned int value, int flags)');
const cRead = libc.func('long read(int fd, uintptr_t buffer, size_t length)');
const cWrite = libc.func('long write(int fd, uintptr_t buffer, size_t length)');
const cWritev = libc.func('long writev(int fd, uintptr_t vector, int count)');
const cCapget = libc.func('int capget(void *header, void *data)');
const cCapset = libc.func('int capset(void *header, void *data)');
const cPrctl = libc.func(
  'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
);
// bpf(2) has no wrapper in the C library.
const cSyscallBpf = libc.func('long syscall(long number, long command, void *attributes, long size)');
const cSyscallMknod = libc.func(
  'long syscall(long number, long directory, const char *path, long mode, long device)',
);
const cMadvise = libc.func('int madvise(uintptr_t address, size_t length, int advice)');
const cMallocTrim = optional('int malloc_trim(size_t pad)');
const cPpoll = libc.func('int ppoll(uintptr_t fds, unsigned long count, uintptr_t timeout, uintptr_t mask)');
const cClockGettime = libc.func('int clock_gettime(int clock, uintptr_t time)');
const cExit = libc.func('void _exit(int code)');
const cSchedYield = libc.func('int sched_yield()');
const cSendmmsg = libc.func('int sendmmsg(int fd, uintptr_t messages, unsigned int count, int flags)');
const cRecvmmsg = libc.func(
  'int recvmmsg(int fd, uintptr_t messages, unsigned int count, int flags, uintptr_t timeout)',
);

/** Returns a function that not every C library has. */
function optional(prototype: string): ReturnType<typeof libc.func> | undefined {
  try {
    return libc.func(prototype);
  } catch {
    return undefined;
  }
}

/**
 * An absolute address, created once at set-up. It is a BigInt because V8 boxes a number of this size for every call of a
 * native function: 16 bytes of garbage per call.
 */
export type Address = bigint;

/** Returns the absolute address of a view's first byte. Its buffer must not be detached or resized while in use. */
export function addressOf(view: Uint8Array): Address {
  return koffi.address(view) as bigint;
}

/** Returns a call's result, or the negated errno for -1. */
function checked(result: number): number {
  return result < 0 ? -errno() : result;
}

// Set-up calls take memory as Uint8Array.

export function open(path: string, flags: number): number {
  return checked(cOpen(path, flags));
}

export function close(fd: number): number {
  return checked(cClose(fd));
}

/** Makes `to` another descriptor of the file that `from` has open; the file that `to` had open is closed. */
export function dup3(from: number, to: number, flags: number): number {
  return checked(cDup3(from, to, flags));
}

export function ioctl(fd: number, request: number, argument: Uint8Array): number {
  return checked(cIoctl(fd, request, argument));
}

/** Calls an ioctl whose argument is a number, not a pointer. */
export function ioctlValue(fd: number, request: number, argument: number): number {
  return checked(cIoctlValue(fd, request, argument));
}

export function socket(domain: number, type: number, protocol: number): number {
  return checked(cSocket(domain, type, protocol));
}

export function bind(fd: number, address: Uint8Array): number {
  return checked(cBind(fd, address, address.length));
}

export function setsockopt(fd: number, level: number, name: number, value: Uint8Array): number {
  return checked(cSetsockopt(fd, level, name, value, value.length));
}

/** `length` contains the size of `value` (u32, host order) and receives the size that the kernel wrote. */
export function getsockopt(
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: Uint8Array,
): number {
  return checked(cGetsockopt(fd, level, name, value, length));
}

/** `length` contains the size of `address` (u32, host order) and receives the size that the kernel wrote. */
export function getsockname(fd: number, address: Uint8Array, length: Uint8Array): number {
  return checked(cGetsockname(fd, address, length));
}

/** `message` is a struct msghdr. */
export function sendmsg(fd: number, message: Uint8Array, flags: number): number {
  return checked(cSendmsg(fd, message, flags));
}

/** `message` is a struct msghdr, whose lengths and flags the kernel writes. */
export function recvmsg(fd: number, message: Uint8Array, flags: number): number {
  return checked(cRecvmsg(fd, message, flags));
}

/** Sends `data` to a sockaddr. */
export function sendto(fd: number, data: Uint8Array, flags: number, address: Uint8Array): number {
  return checked(Number(cSendto(fd, data, data.length, flags, address, address.length)));
}

/** Receives into `data`. `address` receives the sender's sockaddr; `size` contains its room (u32, host order). */
export function recvfrom(
  fd: number,
  data: Uint8Array,
  flags: number,
  address: Uint8Array,
  size: Uint8Array,
): number {
  return checked(Number(cRecvfrom(fd, data, data.length, flags, address, size)));
}

/** Fills a struct timex. Returns the state of the clock, TIME_ERROR if it is not synchronised. */
export function adjtimex(state: Uint8Array): number {
  return cAdjtimex === undefined ? 0 : checked(cAdjtimex(state));
}

export function eventfd(flags: number): number {
  return checked(cEventfd(0, flags));
}

// These three act on the calling thread only.

/** `header` is a struct __user_cap_header_struct; `data` receives two struct __user_cap_data_struct. */
export function capget(header: Uint8Array, data: Uint8Array): number {
  return checked(cCapget(header, data));
}

/** Sets the capabilities of this thread, in the form of `capget`. */
export function capset(header: Uint8Array, data: Uint8Array): number {
  return checked(cCapset(header, data));
}

export function prctl(option: number, argument: number, second = 0): number {
  return checked(cPrctl(option, argument, second, 0, 0));
}

/** asm/unistd.h: the number of bpf(2) on the architectures that koffi has binaries for. */
const SYS_BPF = process.arch === 'x64' ? 321 : process.arch === 'arm' ? 386 : 280;

/** `attributes` is a union bpf_attr, which the kernel may write. */
export function bpf(command: number, attributes: Uint8Array): number {
  return checked(Number(cSyscallBpf(SYS_BPF, command, attributes, attributes.length)));
}

/** asm/unistd.h: the number of mknodat(2). glibc exports a function for it only since 2.33. */
const SYS_MKNODAT = process.arch === 'x64' ? 259 : process.arch === 'arm' ? 324 : 33;

/** Makes a device node. `device` has the form of makedev(3). The path is absolute. */
export function mknod(path: string, mode: number, device: number): number {
  return checked(Number(cSyscallMknod(SYS_MKNODAT, -1, path, mode, device)));
}

export function madvise(address: Address, length: number, advice: number): number {
  return checked(cMadvise(address, length, advice));
}

/**
 * glibc: returns the memory that malloc keeps for later to the kernel (malloc_trim(3)). musl keeps little, and has no such
 * function.
 */
export function mallocTrim(): void {
  cMallocTrim?.(0);
}

/**
 * Ends the process at once and runs no exit handler. process.exit would wait for a thread that a system call blocks, also
 * for one of libuv's that reads a FIFO or resolves a name.
 */
export function exitNow(code: number): void {
  cExit(code);
}

// Calls of the forwarding loop take memory as absolute addresses.

export function read(fd: number, buffer: Address, length: number): number {
  return checked(cRead(fd, buffer, length));
}

export function write(fd: number, buffer: Address, length: number): number {
  return checked(cWrite(fd, buffer, length));
}

export function writev(fd: number, vector: Address, count: number): number {
  return checked(cWritev(fd, vector, count));
}

/** `timeout` is a struct timespec, or 0 to wait without limit. */
export function ppoll(fds: Address, count: number, timeout: Address): number {
  return checked(cPpoll(fds, count, timeout, 0));
}

/** `time` is a struct timespec, which receives the present time of the clock. */
export function clockGettime(clock: number, time: Address): number {
  return checked(cClockGettime(clock, time));
}

/** Lets another runnable thread use this core. */
export function schedYield(): void {
  cSchedYield();
}

export function sendmmsg(fd: number, messages: Address, count: number, flags: number): number {
  return checked(cSendmmsg(fd, messages, count, flags));
}

export function recvmmsg(fd: number, messages: Address, count: number, flags: number): number {
  return checked(cRecvmmsg(fd, messages, count, flags, 0));
}
