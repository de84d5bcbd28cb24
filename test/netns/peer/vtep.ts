/** A hand-made VTEP (program.ts); handmade.ts starts it. */

import { echoIn, ethernet, icmpEcho, ipv4, vxlan } from './frames.js';
import { options, runPeer } from './program.js';

const PORT = 8472;

await runPeer(PORT, (message) => {
  const echo = echoIn(message.subarray(8));
  if (echo?.type !== 8 || !options.answers.includes(echo.to)) return undefined;
  const reply = ipv4(echo.to, echo.from, 1, icmpEcho(0, echo.id, echo.sequence, echo.data));
  const frame = ethernet(echo.sourceMac, options.mac, 0x0800, reply);
  return { datagram: vxlan(frame, { vni: options.vni ?? 1 }), port: options.port ?? PORT };
});
