/** Exchanges recorded from a real API server: test/fixtures/kubernetes. */

import { fixture } from './fixtures.js';

export interface Exchange {
  request: { method: string; path: string; contentType?: string; body?: string };
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** The exchange of a name, like `error-401` or `watch-events`; a watch's body is one event a line. */
export function exchange(name: string): Exchange {
  const { request, response } = JSON.parse(fixture(`kubernetes/${name}.meta.json`)) as {
    request: Exchange['request'];
    response: { status: number; headers: Record<string, string> };
  };
  const watch = /[?&]watch=1/.test(request.path) && response.status === 200;
  const body = fixture(`kubernetes/${name}.${watch ? 'jsonl' : 'json'}`);
  // The server counts the bytes itself, and the length of the recording says nothing to a client.
  const { 'Content-Length': _, 'Transfer-Encoding': __, ...headers } = response.headers;
  return { request, status: response.status, headers, body };
}
