import { existsSync } from 'node:fs';
import t from 'tap';
import { makeTunNode } from '../../../src/control/tun-node.js';

/** Lines of proc_pid_mountinfo(5). */
const ROOT = '30 1 0:37 / / ro,relatime - overlay overlay rw';
const OF_HOST = '23 30 0:6 / /dev rw,relatime shared:2 - devtmpfs devtmpfs rw,mode=755';
const OF_CONTAINER = '25 30 0:42 / /dev rw,nosuid - tmpfs tmpfs rw,mode=755';

t.test('makeTunNode leaves the /dev of a node to udev', async (t) => {
  const dir = t.testdir({});
  for (const mounts of [[ROOT], [ROOT, OF_HOST], [ROOT, OF_CONTAINER, OF_HOST]]) {
    makeTunNode(`${dir}/net/tun`, `${mounts.join('\n')}\n`);
    t.notOk(existsSync(`${dir}/net`));
  }
});

t.test('makeTunNode makes the folder of the device in the /dev of a container', async (t) => {
  const dir = t.testdir({});
  // Making the device itself needs CAP_MKNOD; test/netns/image.test.ts opens it.
  makeTunNode(`${dir}/net/tun`, `${ROOT}\n${OF_CONTAINER}\n`);
  t.ok(existsSync(`${dir}/net`));
});
