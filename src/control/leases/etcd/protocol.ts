/**
 * The part of etcd's v3 API that Weft uses, with the field numbers and types of etcd's api/etcdserverpb/rpc.proto and
 * api/mvccpb/kv.proto. protobufjs skips all other fields.
 */

import { type Long, protobuf } from './library.js';

type Field = [type: string, id: number, rule?: 'repeated'];

const MESSAGES: Record<string, Record<string, Field>> = {
  Header: { clusterId: ['uint64', 1], revision: ['int64', 3], raftTerm: ['uint64', 4] },
  KeyValue: {
    key: ['bytes', 1],
    modRevision: ['int64', 3],
    value: ['bytes', 5],
    lease: ['int64', 6],
  },
  Event: { type: ['int32', 1], kv: ['KeyValue', 2] },

  RangeRequest: { key: ['bytes', 1], rangeEnd: ['bytes', 2], limit: ['int64', 3], revision: ['int64', 4] },
  RangeResponse: { header: ['Header', 1], kvs: ['KeyValue', 2, 'repeated'], more: ['bool', 3] },
  PutRequest: { key: ['bytes', 1], value: ['bytes', 2], lease: ['int64', 3] },
  DeleteRequest: { key: ['bytes', 1] },

  // Enums: result EQUAL is 0; target VERSION is 0, MOD is 2. version and modRevision form a oneof.
  Compare: {
    result: ['int32', 1],
    target: ['int32', 2],
    key: ['bytes', 3],
    version: ['int64', 4],
    modRevision: ['int64', 6],
  },
  Operation: { put: ['PutRequest', 2], delete: ['DeleteRequest', 3] },
  TxnRequest: { compare: ['Compare', 1, 'repeated'], success: ['Operation', 2, 'repeated'] },
  TxnResponse: { header: ['Header', 1], succeeded: ['bool', 2] },

  LeaseGrantRequest: { ttl: ['int64', 1] },
  LeaseGrantResponse: { id: ['int64', 2] },
  LeaseRevokeRequest: { id: ['int64', 1] },
  LeaseRevokeResponse: {},
  LeaseTimeToLiveRequest: { id: ['int64', 1] },
  LeaseTimeToLiveResponse: { ttl: ['int64', 3] },

  AuthenticateRequest: { name: ['string', 1], password: ['string', 2] },
  AuthenticateResponse: { token: ['string', 2] },

  WatchCreate: { key: ['bytes', 1], rangeEnd: ['bytes', 2], startRevision: ['int64', 3] },
  WatchRequest: { create: ['WatchCreate', 1] },
  WatchResponse: {
    header: ['Header', 1],
    created: ['bool', 3],
    canceled: ['bool', 4],
    compactRevision: ['int64', 5],
    cancelReason: ['string', 6],
    events: ['Event', 11, 'repeated'],
  },
};

const ROOT = protobuf.Root.fromJSON({
  nested: Object.fromEntries(
    Object.entries(MESSAGES).map(([message, fields]) => [
      message,
      {
        fields: Object.fromEntries(
          Object.entries(fields).map(([name, [type, id, rule = 'optional']]) => [name, { type, id, rule }]),
        ),
      },
    ]),
  ),
});

export interface Header {
  clusterId: Long;
  revision: Long;
  raftTerm: Long;
}

export interface KeyValue {
  key: Buffer;
  value: Buffer;
  modRevision: Long;
  /** Zero for a key without a lease. */
  lease: Long;
}

/** Event.type */
export const DELETE = 1;

interface RangeRequest {
  key: Buffer;
  rangeEnd?: Buffer;
  limit?: number;
  revision?: Long;
}

export interface RangeResponse {
  header: Header;
  kvs: KeyValue[];
  more: boolean;
}

/** Compare.target */
export const VERSION = 0;
export const MOD_REVISION = 2;

export interface TxnRequest {
  compare: { target: number; key: Buffer; version?: number; modRevision?: Long }[];
  success: { put?: { key: Buffer; value: Buffer; lease?: Long }; delete?: { key: Buffer } }[];
}

export interface WatchRequest {
  create: { key: Buffer; rangeEnd: Buffer; startRevision: number };
}

export interface WatchResponse {
  header: Header;
  created: boolean;
  canceled: boolean;
  compactRevision: Long;
  cancelReason: string;
  events: { type: number; kv: KeyValue }[];
}

/** A remote procedure, for gRPC's client. */
export interface Method<Request, Response> {
  path: string;
  encode(request: Request): Buffer;
  decode(bytes: Buffer): Response;
}

function method<Request extends object, Response>(service: string, name: string): Method<Request, Response> {
  const requests = ROOT.lookupType(`${name}Request`);
  const responses = ROOT.lookupType(`${name}Response`);
  return {
    path: `/etcdserverpb.${service}/${name}`,
    encode: (message) => requests.encode(message).finish() as Buffer,
    decode: (bytes) => responses.decode(bytes) as unknown as Response,
  };
}

export const RANGE = method<RangeRequest, RangeResponse>('KV', 'Range');
export const TXN = method<TxnRequest, { header: Header; succeeded: boolean }>('KV', 'Txn');
export const LEASE_GRANT = method<{ ttl: number }, { id: Long }>('Lease', 'LeaseGrant');
export const LEASE_REVOKE = method<{ id: Long }, object>('Lease', 'LeaseRevoke');
/** Response ttl: seconds left, -1 for a lease that has expired. */
export const LEASE_TTL = method<{ id: Long }, { ttl: Long }>('Lease', 'LeaseTimeToLive');
export const AUTHENTICATE = method<{ name: string; password: string }, { token: string }>(
  'Auth',
  'Authenticate',
);
export const WATCH = method<WatchRequest, WatchResponse>('Watch', 'Watch');
