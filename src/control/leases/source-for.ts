/** Creates the lease source of the command line. Only that source's module and libraries are loaded. */

import type { SourceOptions } from '../options.js';
import type { LeaseSource } from './source.js';

export async function sourceFor(options: SourceOptions): Promise<LeaseSource> {
  switch (options.type) {
    case 'file':
      return new (await import('./file/file-source.js')).FileLeaseSource(options);
    case 'kubernetes':
      return new (await import('./kubernetes/kubernetes-source.js')).KubernetesLeaseSource(options);
    case 'etcd':
      return new (await import('./etcd/etcd-source.js')).EtcdLeaseSource(options);
  }
}
