/** A real etcd (Debian's 3.4) for tests, on loopback, with its own directory; called by its JSON gateway. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { until } from '../../lab/until.js';

export interface EtcdServerOptions {
  /** Addresses to listen on beside 127.0.0.1. */
  addresses?: string[];
  /** Files for TLS on a second loopback port. */
  tls?: { ca: string; cert: string; key: string };
  /** More flags of etcd. */
  flags?: string[];
}

export interface StoredKey {
  key: string;
  value: string;
  /** Decimal id; "0" for a permanent key. */
  lease: string;
  revision: number;
}

/** Returns free TCP ports. */
export async function freeTcpPorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

export class Etcd {
  /** http://127.0.0.1:port */
  readonly url: string;
  readonly tlsUrl: string;
  readonly port: number;
  private readonly directory = mkdtempSync(join(tmpdir(), 'weft-etcd-'));
  private readonly argv: string[];
  private child: ChildProcess | undefined;
  private token: string | undefined;

  private constructor([port, peerPort, tlsPort]: [number, number, number], options: EtcdServerOptions) {
    const { addresses = [], tls, flags = [] } = options;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.tlsUrl = `https://127.0.0.1:${tlsPort}`;
    const urls = [this.url, ...addresses.map((address) => `http://${address}:${port}`)];
    const peer = `http://127.0.0.1:${peerPort}`;
    this.argv = [
      ...['--name', 'test', '--log-level', 'error', '--max-txn-ops', '10000'],
      ...['--listen-client-urls', [...urls, ...(tls ? [this.tlsUrl] : [])].join(',')],
      ...['--advertise-client-urls', this.url],
      ...[
        '--listen-peer-urls',
        peer,
        '--initial-advertise-peer-urls',
        peer,
        '--initial-cluster',
        `test=${peer}`,
      ],
      ...(tls
        ? ['--cert-file', tls.cert, '--key-file', tls.key, '--client-cert-auth', '--trusted-ca-file', tls.ca]
        : []),
      ...flags,
    ];
  }

  /** Starts etcd, waits until it serves, and removes it when the test ends. */
  static async start(t: Test, options: EtcdServerOptions = {}): Promise<Etcd> {
    const etcd = new Etcd((await freeTcpPorts(3)) as [number, number, number], options);
    t.teardown(() => etcd.stop());
    await etcd.launch();
    return etcd;
  }

  /** Starts the process, on the same ports and data each time. */
  async launch(): Promise<void> {
    const guard = ['--pdeathsig', 'KILL', 'etcd', '--data-dir', join(this.directory, 'data'), ...this.argv];
    const child = spawn('setpriv', guard, { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    this.child = child;
    await until(
      'etcd serves',
      async () => {
        if (child.exitCode !== null) throw new Error(`etcd has ended: ${stderr}`);
        const answer = await fetch(`${this.url}/health`).catch(() => undefined);
        return answer?.ok;
      },
      { timeoutMs: 20_000, everyMs: 20 },
    );
  }

  /** Sends SIGKILL; resolves when the process has ended. */
  async kill(): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Kills etcd and deletes its data. */
  async loseData(): Promise<void> {
    await this.kill();
    rmSync(join(this.directory, 'data'), { recursive: true, force: true });
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Puts a key, with `ttlS` attached to a new lease. */
  async put(key: string, value: string, ttlS?: number): Promise<void> {
    const lease = ttlS === undefined ? undefined : await this.grant(ttlS);
    await this.post('kv/put', { key: base64(key), value: base64(value), lease });
  }

  /** Puts many keys in one transaction. */
  async putAll(entries: readonly (readonly [key: string, value: string])[]): Promise<void> {
    const success = entries.map(([key, value]) => ({
      requestPut: { key: base64(key), value: base64(value) },
    }));
    await this.post('kv/txn', { success });
  }

  async delete(key: string): Promise<void> {
    await this.post('kv/deleterange', { key: base64(key) });
  }

  /** Returns all keys that begin with `prefix`, in order. */
  async list(prefix: string): Promise<StoredKey[]> {
    const end = Buffer.from(prefix);
    end[end.length - 1] = (end.at(-1) as number) + 1;
    const { kvs = [] } = (await this.post('kv/range', {
      key: base64(prefix),
      range_end: end.toString('base64'),
    })) as { kvs?: { key: string; value?: string; lease?: string; mod_revision: string }[] };
    return kvs.map(({ key, value = '', lease = '0', mod_revision }) => ({
      key: Buffer.from(key, 'base64').toString(),
      value: Buffer.from(value, 'base64').toString(),
      lease,
      revision: Number(mod_revision),
    }));
  }

  /** Returns the seconds left of a lease, and the seconds granted. */
  async timeToLive(lease: string): Promise<{ left: number; granted: number }> {
    const { TTL = '0', grantedTTL = '0' } = (await this.post('lease/timetolive', { ID: lease })) as Record<
      string,
      string
    >;
    return { left: Number(TTL), granted: Number(grantedTTL) };
  }

  /** Compacts all revisions so far. */
  async compact(): Promise<void> {
    const { header } = (await this.post('kv/range', { key: base64('none') })) as {
      header: { revision: string };
    };
    await this.post('kv/compaction', { revision: header.revision, physical: true });
  }

  /** Enables users: root, and `user` with access to all keys under `prefix`. */
  async enableUsers(user: string, password: string, prefix: string): Promise<void> {
    const end = Buffer.from(prefix);
    end[end.length - 1] = (end.at(-1) as number) + 1;
    await this.post('auth/user/add', { name: 'root', password: 'root' });
    await this.post('auth/role/add', { name: 'root' });
    await this.post('auth/user/grant', { user: 'root', role: 'root' });
    await this.post('auth/user/add', { name: user, password });
    await this.post('auth/role/add', { name: 'nodes' });
    await this.post('auth/role/grant', {
      name: 'nodes',
      perm: { permType: 'READWRITE', key: base64(prefix), range_end: end.toString('base64') },
    });
    await this.post('auth/user/grant', { user, role: 'nodes' });
    await this.post('auth/enable', {});
    await this.login();
  }

  /** Gets a new token for this class; a restart of etcd invalidates the old one. */
  async login(): Promise<void> {
    this.token = undefined;
    const { token } = (await this.post('auth/authenticate', { name: 'root', password: 'root' })) as {
      token: string;
    };
    this.token = token;
  }

  /** Calls the JSON gateway. */
  async post(path: string, body: object): Promise<unknown> {
    const response = await fetch(`${this.url}/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: this.token === undefined ? {} : { Authorization: this.token },
    });
    const answer = (await response.json()) as { error?: string };
    if (!response.ok) throw new Error(`etcd: ${path}: ${answer.error}`);
    return answer;
  }

  private async grant(ttlS: number): Promise<string> {
    return ((await this.post('lease/grant', { TTL: ttlS })) as { ID: string }).ID;
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
