/** A hand-made peer of backend udp (program.ts): IPv4 packets in datagrams. handmade.ts starts it. */

import { echoInPacket, icmpEcho, ipv4 } from './frames.js';
import { options, runPeer } from './program.js';

await runPeer(8285, (message, port) => {
  const echo = echoInPacket(message);
  if (echo?.type !== 8 || !options.answers.includes(echo.to)) return undefined;
  const reply = icmpEcho(0, echo.id, echo.sequence, echo.data);
  return { datagram: ipv4(echo.to, echo.from, 1, reply), port };
});
