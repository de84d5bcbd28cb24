/**
 * One TCP connection that carries a number every 50 ms, and shows whether it survives.
 *
 * Use: echo.js receive ADDRESS PORT    prints `listening`, and returns what it receives
 *      echo.js send ADDRESS PORT       prints each number that returns; ends with an error if the connection breaks
 */

import { createConnection, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const EVERY_MS = 50;

function receive(address: string, port: number): void {
  createServer((socket) => socket.pipe(socket)).listen(port, address, () => console.log('listening'));
}

function send(address: string, port: number): void {
  const socket = createConnection({ host: address, port, noDelay: true });
  let number = 0;
  setInterval(() => socket.write(`${++number}\n`), EVERY_MS);
  createInterface({ input: socket }).on('line', (line) => console.log(line));
}

const [mode, address = '', port = ''] = process.argv.slice(2);
(mode === 'receive' ? receive : send)(address, Number(port));
