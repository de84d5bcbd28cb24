import t from 'tap';
import {
  VNET_GSO_NONE,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_UDP_L4,
  VNET_LENGTH,
  VNET_NEEDS_CSUM,
  vnetChecksumOffset,
  vnetChecksumStart,
  vnetFlags,
  vnetGsoSize,
  vnetGsoType,
  writeVnetChecksum,
  writeVnetGso,
  writeVnetPlain,
} from '../../../../src/dataplane/wire/virtio-net.js';
import { hex, toHex, viewOf } from '../../../support/bytes.js';

function written(write: (view: DataView) => void): string {
  const bytes = new Uint8Array(14).fill(0xee);
  write(viewOf(bytes));
  t.equal(toHex(bytes.slice(0, 2)), 'eeee', 'nothing before the header');
  t.equal(toHex(bytes.slice(12)), 'eeee', 'nothing behind the header');
  return toHex(bytes.slice(2, 12));
}

t.test('constants equal those of linux/virtio_net.h', async (t) => {
  t.same(
    [VNET_LENGTH, VNET_NEEDS_CSUM, VNET_GSO_NONE, VNET_GSO_TCPV4, VNET_GSO_TCPV6, VNET_GSO_UDP_L4],
    [10, 1, 0, 1, 4, 5],
  );
});

t.test('virtio-net accessors read little-endian fields', async (t) => {
  // NEEDS_CSUM, TCPV6, header length 74, GSO size 1408, checksum at 54 + 16; two bytes before it.
  const view = viewOf(hex('ffff 01 04 4a00 8005 3600 1000'));
  t.equal(vnetFlags(view, 2), 1);
  t.equal(vnetGsoType(view, 2), 4);
  t.equal(vnetGsoSize(view, 2), 1408);
  t.equal(vnetChecksumStart(view, 2), 54);
  t.equal(vnetChecksumOffset(view, 2), 16);
});

t.test('writeVnetPlain writes zeros', async (t) => {
  t.equal(
    written((view) => writeVnetPlain(view, 2)),
    '00'.repeat(10),
  );
});

t.test('writeVnetChecksum writes start and offset', async (t) => {
  t.equal(
    written((view) => writeVnetChecksum(view, 2, 34, 6)),
    '0100' + '0000' + '0000' + '2200' + '0600',
  );
});

t.test('writeVnetGso writes all fields', async (t) => {
  t.equal(
    written((view) => writeVnetGso(view, 2, VNET_GSO_UDP_L4, 0x0142, 0x0578, 0x36, 6)),
    '0105' + '4201' + '7805' + '3600' + '0600',
  );
});
