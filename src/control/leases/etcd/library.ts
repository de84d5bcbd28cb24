/** All that Weft has of other people's code to speak to etcd. Imported by etcd's own modules alone: it costs 15 MiB. */

import Long from 'long';
import protobuf from 'protobufjs/light.js';

// protobufjs looks for Long in ways that a bundle breaks, and without it cuts a lease's 63-bit id without a word.
protobuf.util.Long = Long;
protobuf.configure();

export {
  type ChannelCredentials,
  Client,
  credentials,
  logVerbosity,
  Metadata,
  type ServiceError,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js';
export { Long, protobuf };
