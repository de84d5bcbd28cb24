/** A guest on which Weft is installed as a Debian package, and what is checked there. */

import { statSync } from 'node:fs';
import { ping } from '../../lab/traffic/ping.js';
import { until } from '../../lab/until.js';
import type { Bed } from '../vm/bed.js';

const PACKAGE = '/root/weft.deb';
const APT = 'DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0';
const FLAGS = '--lease-file=/run/leases.json --net-config-path=/run/net-conf.json --iface=eth0';
/** Emulated, dpkg needs minutes to unpack a hundred megabytes on a busy machine. */
const APT_TIMEOUT_MS = 900_000;
const SERVICE_TIMEOUT_MS = 300_000;
/** Seconds after which a ping is lost and not late: dpkg may keep an emulated machine busy for many. */
const LATE_S = 60;
/** The states before the installation and after the purge. */
export const BEFORE = '/tmp/before';
const AFTER = '/tmp/after';

/**
 * Prints one line for each file, device, address, route, rule and pinned program of the guest. It leaves out what dpkg,
 * apt, systemd and udev keep for themselves, and the lock of iptables. The kernel adds the local route of a link-local
 * address when its duplicate address detection ends, seconds after the address.
 */
const STATE = `
find / -xdev \\( -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache -o -path /var/log -o -path /var/lib/systemd \\
  -o -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp \\) -prune -o -print | sed 's/^/file /'
find /run \\( -path /run/systemd -o -path /run/udev -o -path /run/xtables.lock \\) -prune -o -print | sed 's/^/file /'
find /sys/fs/bpf | sed 's/^/pin /'
ip -o link | awk '{ print "device", $2 }'
ip -o address | awk '{ print "address", $2, $4 }'
for family in -4 -6; do
  ip $family route show table all | sed "/^local fe80:/d; s/^/route $family /"
  ip $family rule | sed "s/^/rule $family /"
done
for command in iptables ip6tables; do $command-save | grep '^-A' | sed "s/^/$command /"; done
ls /etc/systemd/system/*.wants | sed 's/^/unit /'
`;

export class PackagedNode {
  private readonly bed: Bed;
  private readonly size: number;

  /** `data` is the file of the guest's second disk. */
  constructor(bed: Bed, data: string) {
    this.bed = bed;
    this.size = statSync(data).size;
  }

  async expectNoVxlan(): Promise<void> {
    const { status, output } = await this.bed.node.guest.ask('modprobe vxlan');
    if (status === 0 || !output.includes('not found'))
      throw new Error(`modprobe vxlan: ${status}: ${output}`);
  }

  /** Copies the package from the second disk, which is rounded up to whole sectors. A new node has no subnet.env. */
  async copyPackage(): Promise<void> {
    await this.run(`head -c ${this.size} /dev/vdb >${PACKAGE}
      rmdir /run/flannel`);
  }

  /** Notes the state in a file of the guest: the serial line is slow. */
  async noteState(file: string): Promise<void> {
    await this.run(`{ ${STATE} } | sort >${file}`);
  }

  async install(): Promise<void> {
    await this.run(`cd /root && ${APT} install ./weft.deb`, APT_TIMEOUT_MS);
  }

  /** Checks that the installation started nothing, then starts the service. */
  async start(): Promise<void> {
    await this.run(
      `! systemctl is-active weft
      ! systemctl is-enabled weft
      echo 'WEFT_FLAGS=${FLAGS}' >>/etc/weft/weft.conf
      systemctl enable --now weft || { journalctl -n 30 -u weft; exit 1; }`,
      SERVICE_TIMEOUT_MS,
    );
  }

  async firstPing(): Promise<void> {
    const target = this.bed.peerPod.address;
    await this.run(`until ip netns exec pod ping -n -q -c 1 -W 1 ${target}; do :; done`);
  }

  async pingFromPeer(): Promise<void> {
    const { peerPod, node } = this.bed;
    const { sent, received } = await ping(peerPod.netns, node.podAddress, { count: 20, wait: 10 });
    if (received < sent) throw new Error(`${sent - received} of ${sent} pings are lost`);
  }

  /** Returns Weft's own words about the node. */
  async describe(): Promise<string> {
    const text = await this.run(`weft --version; /usr/lib/weft/bin/node --version
      systemctl --version | head -n 1
      grep VmRSS /proc/$(systemctl show -p MainPID --value weft)/status
      weft status | grep -E '^ *(offload|privileges) '
      dpkg-query -W -f '\${Installed-Size} KiB installed' weft`);
    return text
      .trim()
      .replace(/\s*\n\s*/g, '; ')
      .replace(/\s+/g, ' ');
  }

  /** Installs the package again, as an upgrade does, while the peer sends pings. */
  async upgrade(): Promise<void> {
    const { peerPod, node } = this.bed;
    const pid = await this.mainPid();
    let upgraded = false;
    const upgrade = this.run(`dpkg -i ${PACKAGE}`, APT_TIMEOUT_MS).finally(() => {
      upgraded = true;
    });
    let lost = 0;
    await until(
      'the upgrade ends',
      async () => {
        const { sent, received } = await ping(peerPod.netns, node.podAddress, {
          count: 20,
          interval: 0.2,
          wait: LATE_S,
        });
        lost += sent - received;
        return upgraded;
      },
      { timeoutMs: APT_TIMEOUT_MS },
    );
    await upgrade;
    if ((await this.mainPid()) === pid) throw new Error(`process ${pid} still runs`);
    await this.run('systemctl is-active weft || { journalctl -n 40 -u weft; exit 1; }');
    if (lost > 0) throw new Error(`${lost} pings are lost: ${await this.drops()}`);
  }

  /** Purges the package, and compares the node's state with that before the installation. */
  async purge(): Promise<void> {
    await this.run(`${APT} purge weft`, APT_TIMEOUT_MS);
    await this.noteState(AFTER);
    const { output } = await this.bed.node.guest.ask(`diff ${BEFORE} ${AFTER}`);
    const differences = output.split('\n').filter((line) => /^[<>]/.test(line));
    if (differences.length > 0) throw new Error(`before (<) and after (>): ${differences.join(', ')}`);
  }

  /** Returns the counters of drops that are not 0, and the end of the log. */
  private async drops(): Promise<string> {
    return await this.run(
      `weft status | grep -E '_(drop|restarts).* [1-9]'; journalctl -n 40 -u weft -o short-monotonic`,
    );
  }

  private async mainPid(): Promise<string> {
    return (await this.run('systemctl show -p MainPID --value weft')).trim();
  }

  private run(lines: string, timeoutMs?: number): Promise<string> {
    return this.bed.node.guest.run(lines, timeoutMs);
  }
}
