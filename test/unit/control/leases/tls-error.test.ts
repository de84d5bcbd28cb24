import t from 'tap';
import { explainTlsError, withoutOpensslDetails } from '../../../../src/control/leases/tls-error.js';

const ORIGINS = { ca: 'CA.PEM', client: 'CLIENT.PEM', clientRemedy: 'add a certificate' };

t.test('explainTlsError names the cause and the file of every TLS failure', async (t) => {
  for (const [message, ...says] of [
    ['self-signed certificate', 'not signed by a CA in CA.PEM; put'],
    ['self signed certificate in certificate chain', 'not signed by a CA in CA.PEM; put'],
    ['unable to verify the first certificate', 'not signed by a CA in CA.PEM; put'],
    ['unable to get local issuer certificate', 'not signed by a CA in CA.PEM; put'],
    ['certificate signature failure', 'not signed by a CA in CA.PEM; put'],
    ['certificate is not yet valid', 'not yet valid', 'clock of this node'],
    ['certificate has expired', 'CA.PEM has expired', 'clock of this node'],
    [
      "Hostname/IP does not match certificate's altnames: IP: 192.0.2.1 is not in the cert's list: ",
      'does not contain this address',
    ],
    [
      '00E8:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:ssl/record/rec_layer_s3.c:1605:SSL alert number 48',
      'refuses the client certificate of CLIENT.PEM',
    ],
    [
      'error:0A000415:SSL routines:ssl3_read_bytes:sslv3 alert certificate expired',
      'refuses the client certificate of CLIENT.PEM',
    ],
    [
      'error:0A000412:SSL routines:ssl3_read_bytes:sslv3 alert bad certificate',
      'refuses the client certificate of CLIENT.PEM',
    ],
    ['error:0A00010B:SSL routines:ssl3_get_record:wrong version number', 'does not speak TLS on this port'],
    ['error:0A000076:SSL routines::no suitable signature algorithm', 'the TLS handshake failed'],
  ] as const) {
    const remedy = explainTlsError(message, ORIGINS) ?? '';
    for (const part of says) t.ok(remedy.includes(part), `${message}: ${remedy}`);
  }
  const required = 'error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required';
  t.equal(
    explainTlsError(required, { ...ORIGINS, client: undefined }),
    'the server requires a client certificate; add a certificate',
  );
});

t.test('explainTlsError leaves failures of the network to its callers', async (t) => {
  for (const message of [
    'connect ECONNREFUSED 192.0.2.1:6443',
    'no answer for 30 s',
    'getaddrinfo ENOTFOUND etcd',
    'Client network socket disconnected before secure TLS connection was established',
  ]) {
    t.equal(explainTlsError(message, ORIGINS), undefined, message);
  }
});

t.test("withoutOpensslDetails keeps OpenSSL's reason", async (t) => {
  t.equal(
    withoutOpensslDetails(
      '80BCE8FFC27F0000:error:0A000412:SSL routines:ssl3_read_bytes:sslv3 alert bad certificate:../deps/openssl/ssl/record/rec_layer_s3.c:1601:SSL alert number 42',
    ),
    'SSL routines: sslv3 alert bad certificate',
  );
  t.equal(withoutOpensslDetails('connect ECONNREFUSED'), 'connect ECONNREFUSED');
});
