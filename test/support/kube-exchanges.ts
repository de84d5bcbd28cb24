/** Exchanges with a real API server, recorded in test/fixtures/kubernetes. */

import { fixture } from './fixtures.js';

export interface Exchange {
  request: { method: string; path: string; contentType?: string; body?: string };
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** Returns an exchange by name, like `error-401` or `watch-events`; a watch's body has one event per line. */
export function exchange(name: string): Exchange {
  const { request, response } = JSON.parse(fixture(`kubernetes/${name}.meta.json`)) as {
    request: Exchange['request'];
    response: { status: number; headers: Record<string, string> };
  };
  const watch = /[?&]watch=1/.test(request.path) && response.status === 200;
  const body = fixture(`kubernetes/${name}.${watch ? 'jsonl' : 'json'}`);
  // Node's server sets these headers itself.
  const { 'Content-Length': _, 'Transfer-Encoding': __, ...headers } = response.headers;
  return { request, status: response.status, headers, body };
}
