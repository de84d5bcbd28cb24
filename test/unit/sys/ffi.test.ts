import t from 'tap';
import { O_RDWR } from '../../../src/sys/constants.js';
import {
  addressOf,
  adjtimex,
  close,
  eventfd,
  open,
  ppoll,
  read,
  recvfrom,
  sendmmsg,
  sendto,
  write,
  writev,
} from '../../../src/sys/ffi.js';

const ENOENT = 2;
const EBADF = 9;
const EAGAIN = 11;

t.test('ffi functions return the negated errno on failure', async (t) => {
  const buffer = new Uint8Array(8);
  t.equal(open('/no/such/file', O_RDWR), -ENOENT);
  t.equal(close(-1), -EBADF);
  t.equal(read(-1, addressOf(buffer), 8), -EBADF);
  t.equal(write(-1, addressOf(buffer), 8), -EBADF);
  t.equal(writev(-1, addressOf(buffer), 0), -EBADF);
  t.equal(sendmmsg(-1, addressOf(buffer), 1, 0), -EBADF);
  t.equal(sendto(-1, buffer, 0, buffer), -EBADF);
  t.equal(recvfrom(-1, buffer, 0, buffer, buffer), -EBADF);
});

t.test('read returns -EAGAIN when a non-blocking descriptor has no data', async (t) => {
  const EFD_NONBLOCK = 0x800;
  const fd = eventfd(EFD_NONBLOCK);
  const buffer = new Uint8Array(8);
  t.equal(read(fd, addressOf(buffer), 8), -EAGAIN);
  close(fd);
});

t.test('ppoll returns 0 after its timeout', async (t) => {
  const timespec = new BigInt64Array([0n, 20_000_000n]);
  t.equal(ppoll(addressOf(new Uint8Array(8)), 0, addressOf(new Uint8Array(timespec.buffer))), 0);
});

t.test('addressOf returns an address below 2^53, which is exact as a number', async (t) => {
  const bytes = new Uint8Array(16);
  t.ok(Number.isSafeInteger(Number(addressOf(bytes))));
  t.equal(addressOf(bytes.subarray(5)) - addressOf(bytes), 5n);
});

t.test('adjtimex returns the state of the clock', async (t) => {
  t.ok([0, 1, 2, 3, 4, 5].includes(adjtimex(new Uint8Array(208))));
});
