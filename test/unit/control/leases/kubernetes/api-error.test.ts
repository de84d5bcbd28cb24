import t from 'tap';
import { ApiError, explainApiError } from '../../../../../src/control/leases/kubernetes/api-error.js';
import { mentions } from '../../../../support/user-error.js';

t.test('explainApiError names the network of this node where it has no route', async (t) => {
  for (const code of ['ENETUNREACH', 'EHOSTUNREACH']) {
    const error = new ApiError(`connect ${code} 192.0.2.1:6443 - Local (0.0.0.0:0)`);
    mentions(t, explainApiError(error, 'list', 'nodes'), code, 'this node has no route there');
  }
});

t.test('explainApiError names the server where it does not answer', async (t) => {
  const error = new ApiError('connect ECONNREFUSED 192.0.2.1:6443');
  mentions(t, explainApiError(error, 'list', 'nodes'), 'check that the API server runs');
});
