/** Calls to an etcd cluster: first to the endpoint that answered last, then to the others. */

import { version } from '../../../version.js';
import type { EtcdOptions } from '../../options.js';
import type { Endpoint } from './endpoint.js';
import { EtcdError, etcdErrorFrom } from './etcd-error.js';
import { Client, logVerbosity, Metadata, type ServiceError, setLogVerbosity, status } from './library.js';
import { AUTHENTICATE, type Method, WATCH, type WatchRequest, type WatchResponse } from './protocol.js';
import type { EtcdTiming } from './timing.js';

const CHANNEL_OPTIONS = {
  'grpc.primary_user_agent': `weft/${version()}`,
  // As etcd's own client: no HTTP proxy.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_retries': 0,
  // Reconnect at once when etcd is back; gRPC's default waits up to two minutes.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  // Detects a cut connection under a silent watch. etcd refuses pings more often than every 5 s.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  // A page of 1000 keys has less than 1 MiB.
  'grpc.max_receive_message_length': 64 << 20,
};

interface Member extends Endpoint {
  client: Client;
}

function connect({ address, credentials }: Endpoint): Client {
  return new Client(`dns:${address}`, credentials, CHANNEL_OPTIONS);
}

export class EtcdClient {
  /** URLs of the endpoints, for messages. */
  readonly endpoints: string;
  private readonly options: EtcdOptions;
  private readonly timing: EtcdTiming;
  private readonly members: Member[];
  private current = 0;
  private token: Promise<string> | undefined;
  private readonly calls = new Set<{ cancel(): void }>();

  constructor(options: EtcdOptions, timing: EtcdTiming, endpoints: readonly Endpoint[]) {
    setLogVerbosity(logVerbosity.NONE);
    this.options = options;
    this.timing = timing;
    this.endpoints = endpoints.map(({ name }) => name).join(',');
    this.members = endpoints.map((endpoint) => ({ ...endpoint, client: connect(endpoint) }));
  }

  /** Calls the endpoints in turn until one answers. @throws EtcdError when none does, or etcd refuses the call */
  async call<Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response> {
    const failures: EtcdError[] = [];
    for (let tried = 0; tried < this.members.length; tried++) {
      const index = (this.current + tried) % this.members.length;
      try {
        const response = await this.callMember(this.members[index] as Member, method, request);
        this.current = index;
        return response;
      } catch (error) {
        if (!(error instanceof EtcdError) || !error.isOfEndpoint) throw error;
        failures.push(error);
      }
    }
    const first = failures[0] as EtcdError;
    if (failures.length === 1) throw first;
    throw new EtcdError(failures.map(({ message }) => message).join('; '), first.code, first.details);
  }

  /**
   * Watches; resolves when etcd ends the stream. After a failure of the endpoint the next call or watch uses another one.
   * @throws EtcdError, and what the callback throws
   */
  async watch(request: WatchRequest, onResponse: (response: WatchResponse) => void): Promise<void> {
    const member = this.members[this.current] as Member;
    try {
      const metadata = await this.metadata(member);
      // A member without a leader cancels the watch, instead of sending nothing (clientv3.WithRequireLeader).
      metadata.set('hasleader', 'true');
      await this.stream(member, request, metadata, onResponse);
    } catch (error) {
      if (error instanceof EtcdError && error.isOfEndpoint)
        this.current = (this.current + 1) % this.members.length;
      throw error;
    }
  }

  /** Makes the next call request a new token. */
  forgetToken(): void {
    this.token = undefined;
  }

  /** Cancels all calls and opens new connections: those from an address that this node has lost stay silent. */
  reconnect(): void {
    this.close();
    for (const member of this.members) member.client = connect(member);
  }

  /** Cancels all calls and closes all connections. */
  close(): void {
    for (const call of this.calls) call.cancel();
    for (const { client } of this.members) client.close();
  }

  private async callMember<Request, Response>(
    member: Member,
    method: Method<Request, Response>,
    request: Request,
  ): Promise<Response> {
    try {
      return await this.unary(member, method, request, await this.metadata(member));
    } catch (error) {
      if (this.options.username === undefined || !(error instanceof EtcdError) || !error.isOfToken)
        throw error;
    }
    this.forgetToken();
    return await this.unary(member, method, request, await this.metadata(member));
  }

  private async metadata(member: Member): Promise<Metadata> {
    const metadata = new Metadata();
    const { username, password } = this.options;
    if (username === undefined) return metadata;
    this.token ??= this.authenticate(member, username, password ?? '');
    const token = await this.token;
    if (token !== '') metadata.set('token', token);
    return metadata;
  }

  /** Returns a token, or an empty one if etcd has no users; flannel's client ignores the user there too. */
  private async authenticate(member: Member, name: string, password: string): Promise<string> {
    try {
      return (await this.unary(member, AUTHENTICATE, { name, password }, new Metadata())).token;
    } catch (error) {
      if (error instanceof EtcdError && error.isWithoutUsers) return '';
      this.forgetToken();
      throw error;
    }
  }

  private unary<Request, Response>(
    member: Member,
    { path, encode, decode }: Method<Request, Response>,
    request: Request,
    metadata: Metadata,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const call = member.client.makeUnaryRequest(
        path,
        encode,
        decode,
        request,
        metadata,
        { deadline: Date.now() + this.timing.answerMs },
        (error, response) => {
          this.calls.delete(call);
          if (error !== null) reject(etcdErrorFrom(error, member.name, this.options));
          else resolve(response as Response);
        },
      );
      this.calls.add(call);
    });
  }

  private async stream(
    member: Member,
    request: WatchRequest,
    metadata: Metadata,
    onResponse: (response: WatchResponse) => void,
  ): Promise<void> {
    const { path, encode, decode } = WATCH;
    const stream = member.client.makeBidiStreamRequest(path, encode, decode, metadata, {});
    this.calls.add(stream);
    let silence: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const fail = (error: ServiceError): void => reject(etcdErrorFrom(error, member.name, this.options));
        // A stream has no deadline in gRPC; this one ends with etcd's first response.
        const details = `no answer within ${this.timing.answerMs} ms`;
        const timeout = { code: status.DEADLINE_EXCEEDED, details } as ServiceError;
        silence = setTimeout(() => fail(timeout), this.timing.answerMs);
        stream.on('data', (response: WatchResponse) => {
          clearTimeout(silence);
          try {
            onResponse(response);
          } catch (error) {
            stream.pause();
            reject(error as Error);
          }
        });
        stream.on('error', fail);
        stream.on('end', resolve);
        stream.write(request);
      });
    } finally {
      clearTimeout(silence);
      this.calls.delete(stream);
      stream.cancel();
    }
  }
}
