/**
 * A guest as a node of the cluster: pod and bridge like those of LabNode, and `weft run`.
 *
 *     ┌ guest: node 1 ────────────────────────────────┐          ┌ node 2, on this machine ───────────┐
 *     │ pod ── cni0 ── flannel.1 ⇄ Weft ⇄ eth0 (virtio) ├── TAP ub ┤ the kernel's flannel.1 ── cni0 ── pod │
 *     └───────────────────────────────────────────────┘          └────────────────────────────────────┘
 */

import { netConf, type VxlanLease } from '../../lab/leases.js';
import type { LabNode } from '../../lab/node.js';
import { type Answer, checksumErrors, type Guest, SNMP } from './guest.js';

const WEFT = 'node /weft/dist/src/cli/weft.js';
/** The transfer that the tests use too. */
const STREAM = 'node /weft/dist/test/netns/peer/stream.js';
const RECEIVED = '/tmp/received';
const POD_MTU = 1450;
/** A guest has nft, and no iptables. */
const NET_CONF = { ...netConf(), EnableNFTables: true };
const LOG = '/run/weft.log';
const READY_TIMEOUT_MS = 120_000;

/** What the measurement reads of `weft status --json`. */
export interface GuestStatus {
  readonly offload: { readonly rung: string; readonly fastPath: { readonly attached: string | null } };
  readonly counters: Readonly<Record<string, number | string>>;
}

export class GuestNode {
  readonly guest: Guest;
  /** The pod's address. */
  readonly podAddress: string;
  private readonly self: LabNode;

  /** `self` describes the node; it exists in the guest only. */
  constructor(guest: Guest, self: LabNode) {
    this.guest = guest;
    this.self = self;
    this.podAddress = `10.244.${self.index}.11`;
  }

  /** Sets up the underlay interface, the bridge and the pod, with the peers' leases and net-conf.json. */
  async build(peers: readonly VxlanLease[], conf: object = NET_CONF): Promise<void> {
    const { self } = this;
    const leases = JSON.stringify({ leases: [self.lease(), ...peers] });
    await this.guest.run(`
      echo 1 >/proc/sys/net/ipv4/ip_forward
      ip address add ${self.address}/24 dev eth0
      ip link set eth0 up
      ip link add cni0 mtu ${POD_MTU} type bridge
      ip address add 10.244.${self.index}.1/24 dev cni0
      ip link set cni0 up
      ip netns add pod
      ip link add veth1 mtu ${POD_MTU} type veth peer name eth0 mtu ${POD_MTU} netns pod
      ip link set veth1 master cni0
      ip link set veth1 up
      ip -n pod link set lo up
      ip -n pod address add ${this.podAddress}/24 dev eth0
      ip -n pod link set eth0 up
      ip -n pod route add default via 10.244.${self.index}.1
      mkdir -p /run/flannel
      echo '${leases}' >/run/leases.json
      echo '${JSON.stringify(conf)}' >/run/net-conf.json`);
  }

  /** Starts `weft run` and waits until it forwards, with the fast path if the level is bpf. */
  private async start(level: string): Promise<void> {
    // A start is complete with the second line: from then on the device outlives Weft.
    const lines = [...(level === 'bpf' ? ['fast path on'] : []), '] ready: '];
    const seen = lines.map((line) => `grep -qF '${line}' ${LOG}`).join(' && ');
    await this.guest.run(
      `: >${LOG}
      setsid ${this.command('run', level)} >${LOG} 2>&1 &
      echo $! >/run/weft.pid
      until ${seen}; do
        kill -0 $(cat /run/weft.pid) || { cat ${LOG}; exit 1; }
        sleep 0.2
      done`,
      READY_TIMEOUT_MS,
    );
  }

  /** Starts Weft, runs the body, stops Weft. An error carries the end of Weft's log. */
  async runFor<T>(level: string, body: () => Promise<T>): Promise<T> {
    await this.start(level);
    try {
      return await body();
    } catch (error) {
      const log = await this.guest.run(`tail -n 20 ${LOG}`);
      throw new Error(`${error instanceof Error ? error.message : error}\nWeft logged last:\n${log}`);
    } finally {
      await this.stop();
    }
  }

  /** Starts Weft and kills it once it forwards. */
  async startAndKill(level: string): Promise<void> {
    await this.start(level);
    await this.guest.run('kill -9 $(cat /run/weft.pid)');
  }

  /** Runs `weft run` where it is expected to end by itself. */
  tryRun(level: string): Promise<Answer> {
    return this.guest.ask(this.command('run', level));
  }

  /** Stops Weft with SIGTERM and waits for its end. */
  private async stop(): Promise<void> {
    await this.guest.run(`kill $(cat /run/weft.pid)
      while kill -0 $(cat /run/weft.pid) 2>/dev/null; do sleep 0.2; done`);
  }

  async status(): Promise<GuestStatus> {
    return JSON.parse(await this.guest.run(`${WEFT} status --run-dir /run/weft --json`)) as GuestStatus;
  }

  /** Returns what `weft status` prints behind `offload`. */
  async offloadLine(): Promise<string> {
    const text = await this.guest.run(`${WEFT} status --run-dir /run/weft`);
    return /^\s*offload\s+(.*)$/m.exec(text)?.[1] ?? '';
  }

  /** Starts a server of iperf3 in the pod, for one run, and waits until it listens. */
  async serveIperf(port: number): Promise<void> {
    const listening = `:${port.toString(16).toUpperCase()} .* 0A `;
    await this.guest.run(`ip netns exec pod iperf3 -s -1 -D -p ${port}
      until ip netns exec pod grep -q '${listening}' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done`);
  }

  /** Sends bytes from the pod; returns the line with their hash. */
  send(address: string, port: number, bytes: number): Promise<string> {
    return this.guest.run(`ip netns exec pod ${STREAM} send ${address} ${port} ${bytes}`);
  }

  /** Starts a receiver in the pod; the function that it returns waits for the line with the hash. */
  async receive(port: number): Promise<() => Promise<string>> {
    await this.guest.run(`: >${RECEIVED}
      ip netns exec pod ${STREAM} receive ${this.podAddress} ${port} >${RECEIVED} 2>&1 &
      until grep -q listening ${RECEIVED}; do sleep 0.2; done`);
    return () =>
      this.guest.run(`until grep -Eq '^[0-9a-f]{64} ' ${RECEIVED}; do sleep 0.2; done
        tail -n 1 ${RECEIVED}`);
  }

  /** Returns how many checksum errors the guest and its pod have counted. */
  async checksumErrors(): Promise<number> {
    const files = SNMP.join(' ');
    const [node, pod] = [
      await this.guest.run(`cat ${files}`),
      await this.guest.run(`ip netns exec pod cat ${files}`),
    ];
    return checksumErrors(node) + checksumErrors(pod);
  }

  private command(name: string, level: string): string {
    const files = '--lease-file /run/leases.json --net-config-path /run/net-conf.json';
    const places = '--subnet-file /run/flannel/subnet.env --run-dir /run/weft';
    return `${WEFT} ${name} ${files} ${places} --iface eth0 --offload ${level}`;
  }
}
