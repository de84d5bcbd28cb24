/**
 * TCP connections with pseudo-random bytes, different in each, and their hashes at either end.
 *
 * Use: stream.js receive ADDRESS PORT [C]      prints `listening`, then hash and number of bytes of C connections (one
 *                                              when left out), on one line and in the hashes' order
 *      stream.js send ADDRESS PORT N [C]       sends N bytes over each of C connections at once and prints the same line
 */

import { createCipheriv, createHash } from 'node:crypto';
import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { pipeline } from 'node:stream/promises';

const CHUNK = 1 << 18;

function* bytes(total: number, connection: number): Generator<Buffer> {
  const source = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7 + connection), Buffer.alloc(16));
  for (let left = total; left > 0; left -= CHUNK) yield source.update(Buffer.alloc(Math.min(left, CHUNK)));
}

/** Hash and number of the bytes of one connection. */
class Note {
  private readonly hash = createHash('sha256');
  private count = 0;

  add(chunk: Buffer): Buffer {
    this.hash.update(chunk);
    this.count += chunk.length;
    return chunk;
  }

  text(): string {
    return `${this.hash.digest('hex')} ${this.count}`;
  }
}

function report(notes: readonly string[]): void {
  console.log([...notes].sort().join(', '));
}

function receive(address: string, port: number, connections: number): void {
  const notes: string[] = [];
  const server = createServer((socket) => {
    const note = new Note();
    socket.on('data', (chunk) => note.add(chunk));
    socket.on('end', () => {
      socket.end();
      notes.push(note.text());
      if (notes.length < connections) return;
      server.close();
      report(notes);
    });
  });
  server.listen(port, address, () => console.log('listening'));
}

async function send(address: string, port: number, total: number, connection: number): Promise<string> {
  const socket = createConnection(port, address);
  await once(socket, 'connect');
  const note = new Note();
  socket.resume();
  await pipeline(function* () {
    for (const chunk of bytes(total, connection)) yield note.add(chunk);
  }, socket);
  return note.text();
}

const [mode, address = '', port, ...rest] = process.argv.slice(2);
if (mode === 'receive') {
  receive(address, Number(port), Number(rest[0] ?? 1));
} else {
  const [total, connections = 1] = rest.map(Number);
  const all = Array.from({ length: connections }, (_, index) =>
    send(address, Number(port), total ?? 0, index),
  );
  report(await Promise.all(all));
}
