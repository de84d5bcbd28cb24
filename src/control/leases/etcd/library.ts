/** The libraries that speak to etcd. They need 15 MiB, so only the modules of this folder import them. */

import Long from 'long';
import protobuf from 'protobufjs/light.js';

// protobufjs does not find Long in a bundle, and without it truncates a lease's 63-bit id silently.
protobuf.util.Long = Long;
protobuf.configure();

export {
  CallCredentials,
  ChannelCredentials,
  Client,
  credentials,
  logVerbosity,
  Metadata,
  type ServiceError,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js';
export { Long, protobuf };
