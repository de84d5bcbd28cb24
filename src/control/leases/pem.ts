/** Checks of certificates and keys in PEM. Node itself ignores a CA text that holds no certificate. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;

/** @throws Error with the reason only, unless the text has whole certificates */
export function checkCertificates(text: string): void {
  const begun = text.match(/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/g)?.length ?? 0;
  const blocks = (text.match(BLOCK) ?? []).filter((block) => block.includes('CERTIFICATE-----'));
  if (begun === 0) throw new Error('it has no certificate (-----BEGIN CERTIFICATE-----)');
  if (blocks.length < begun) throw new Error('a certificate in it is cut off');
  for (const block of blocks) attempt(() => new X509Certificate(block), 'a certificate in it is damaged');
}

/** @throws Error with the reason only */
export function checkKey(text: string): void {
  if (/-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(text)) {
    throw new Error('the key is encrypted; store it without a passphrase');
  }
  if (!/-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/.test(text)) {
    throw new Error('it has no private key (-----BEGIN PRIVATE KEY-----)');
  }
  attempt(() => createPrivateKey(text), 'the private key in it is damaged');
}

/** @throws Error with OpenSSL's reason when the key does not belong to the certificate */
export function checkPair(cert: string, key: string): void {
  createSecureContext({ cert, key });
}

function attempt(parse: () => unknown, what: string): void {
  try {
    parse();
  } catch (error) {
    throw new Error(`${what} (${(error as Error).message})`);
  }
}
