/**
 * One TCP connection full of bytes that nobody could guess, and their hash at either end.
 *
 * Use: stream.js receive PORT        prints `listening`, then the hash and the number of bytes of one connection
 *      stream.js send HOST PORT N    sends N bytes and prints their hash
 */

import { createCipheriv, createHash } from 'node:crypto';
import { createConnection, createServer } from 'node:net';
import { pipeline } from 'node:stream/promises';

const CHUNK = 1 << 18;

function* bytes(total: number): Generator<Buffer> {
  const source = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16));
  for (let left = total; left > 0; left -= CHUNK) yield source.update(Buffer.alloc(Math.min(left, CHUNK)));
}

const [mode, ...args] = process.argv.slice(2);
const hash = createHash('sha256');
let count = 0;
function note(chunk: Buffer): Buffer {
  hash.update(chunk);
  count += chunk.length;
  return chunk;
}

if (mode === 'receive') {
  const server = createServer((socket) => {
    server.close();
    socket.on('data', note);
    socket.on('end', () => {
      socket.end();
      console.log(`${hash.digest('hex')} ${count}`);
    });
  });
  server.listen(Number(args[0]), () => console.log('listening'));
} else {
  const [host = '', port, total] = args;
  const socket = createConnection(Number(port), host);
  const noted = function* () {
    for (const chunk of bytes(Number(total))) yield note(chunk);
  };
  socket.resume();
  await pipeline(noted, socket);
  console.log(`${hash.digest('hex')} ${count}`);
}
