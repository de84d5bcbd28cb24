/** Makes certificates with openssl for a server at 127.0.0.1 and its clients. */

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface TlsFiles {
  ca: string;
  cert: string;
  key: string;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];

function openssl(...argv: string[]): void {
  execFileSync('openssl', ['req', '-x509', ...NEW_KEY, ...argv], { stdio: 'pipe' });
}

/** Makes a certificate authority `name`, and a certificate that it signs, in `directory`. */
export function makeTls(directory: string, name: string): TlsFiles {
  const path = (file: string): string => join(directory, `${name}-${file}`);
  const files = { ca: path('ca.crt'), cert: path('node.crt'), key: path('node.key') };
  openssl('-subj', `/CN=${name}`, '-keyout', path('ca.key'), '-out', files.ca);
  openssl(
    ...['-CA', files.ca, '-CAkey', path('ca.key'), '-subj', '/CN=node'],
    ...['-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE'],
    ...['-keyout', files.key, '-out', files.cert],
  );
  return files;
}
