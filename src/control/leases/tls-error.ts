/** Remedies for failed TLS handshakes, by the messages of Node and OpenSSL. */

export interface TlsOrigins {
  /** Where the trusted CAs come from, such as `--etcd-cafile /etc/ca.pem`. */
  ca: string;
  /** What to do if these CAs do not sign the server's certificate, in place of adding its CA there. */
  caRemedy?: string;
  /** Where the client's certificate comes from; undefined without one. */
  client: string | undefined;
  /** How to set a client's certificate. */
  clientRemedy: string;
}

const AGAIN = 'Weft reads it again before the next attempt';

/** Returns what the failure means and what to do; undefined if it is not about TLS. */
export function explainTlsError(
  message: string,
  { ca, caRemedy, client, clientRemedy }: TlsOrigins,
): string | undefined {
  // An alert is the server's answer to this side's certificate.
  if (/alert.*(certificate|unknown ca|handshake failure|access denied|decrypt error)/i.test(message)) {
    return client === undefined
      ? `the server requires a client certificate; ${clientRemedy}`
      : `the server refuses the client certificate of ${client}; renew it (${AGAIN})`;
  }
  if (/certificate is not yet valid/i.test(message)) {
    return `the server's certificate is not yet valid; correct the clock of this node, which says ${now()}, or that of the server`;
  }
  if (/certificate has expired/i.test(message)) {
    return `the certificate of the server or of its CA in ${ca} has expired; renew it, or correct the clock of this node, which says ${now()}`;
  }
  if (/altnames|does not match certificate/i.test(message)) {
    return "the server's certificate does not contain this address; use a name or address that it contains, or add the address to the certificate";
  }
  if (
    /self-signed|self signed|unable to (get|verify)|issuer|signature failure|certificate|invalid ca/i.test(
      message,
    )
  ) {
    return `the server's certificate is not signed by a CA in ${ca}; ${caRemedy ?? `put the server's CA there (${AGAIN})`}`;
  }
  if (/wrong version number|packet length too long|http request/i.test(message)) {
    return 'the server does not speak TLS on this port; check the port, or write http:// in its URL';
  }
  if (/ssl routines|\btls|\bssl/i.test(message) && !/before secure TLS/i.test(message)) {
    return `the TLS handshake failed; check the certificates of the server and in ${client ?? ca}`;
  }
  return undefined;
}

/** Returns a message without OpenSSL's thread, code and source position around its reason. */
export function withoutOpensslDetails(message: string): string {
  return message.replace(
    /(?:[0-9A-F]+:)?error:[0-9A-F]+:([\w ]+):\w*:([^:]+)(?::\S+\.c:\d+)?(?::SSL alert number \d+)?:?/,
    '$1: $2',
  );
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+/, '');
}
