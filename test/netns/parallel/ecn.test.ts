/**
 * Congestion notification through the tunnel, RFC 6040: the outer header carries the inner ECN field, and marks of
 * routers reach the pod.
 */

import t from 'tap';
import { ipJson, sysctl } from '../../../lab/ip.js';
import type { LabNode } from '../../../lab/node.js';
import { ping } from '../../../lab/traffic/ping.js';
import { DIST } from '../../../lab/world.js';
import { HandmadePeer } from '../peer/handmade.js';
import { atLevel, LEVELS, makeBed, startWeft, startWefts, withNftables } from '../support/bed.js';
import { captured } from '../support/capture.js';
import { makeDropBed, mark, request } from '../support/drop-bed.js';
import { damageIn, refusedBy } from '../support/harm.js';
import { snmpOf } from '../support/state.js';
import { stream } from '../support/transfer.js';

const ECN = ['Not-ECT', 'ECT(1)', 'ECT(0)', 'CE'] as const;
/** Expedited forwarding (RFC 3246): a DSCP of the pod, which the underlay does not see. */
const DSCP = 0xb8;

/** The pod's ECN field by the inner (rows) and the outer field: RFC 6040, figure 4. */
const DECAPSULATED: readonly (readonly (number | undefined)[])[] = [
  [0, 0, 0, undefined],
  [1, 1, 1, 3],
  [2, 1, 2, 3],
  [3, 3, 3, 3],
];

t.test("encapsulate copies the packet's ECN field to the outer header, and not its DSCP", async (t) => {
  for (const level of LEVELS) {
    const lab = await makeBed(t, { name: `ecnout-${level}`, mode: 'plain' });
    await HandmadePeer.start(lab.node(2), lab.node(1), { answers: ['10.244.2.11'] });
    await startWeft(t, lab.node(1), atLevel(level));
    const wanted = [0, 1, 2, 3, DSCP, DSCP + 1, DSCP + 2, DSCP + 3];
    const packets = await captured(lab.node(2), 'udp dst port 8472', wanted.length, async () => {
      for (const tos of wanted) await ping(lab.pod(1).netns, '10.244.2.11', { count: 1, tos });
    });
    const inner = 20 + 8 + 8 + 14;
    t.strictSame(
      packets.map((packet) => [packet[inner + 1], packet[1]]),
      wanted.map((tos) => [tos, tos & 3]),
      `inner and outer type of service at offload level ${level}`,
    );
  }
});

for (const level of LEVELS) {
  t.test(`decapsulate combines outer and inner ECN by RFC 6040, at offload level ${level}`, async (t) => {
    const bed = await makeDropBed(t, `ecnin-${level}`, atLevel(level));
    await mark(bed);
    for (const [inner, row] of DECAPSULATED.entries()) {
      for (const [outer, wanted] of row.entries()) {
        bed.peer.received.length = 0;
        await bed.peer.send(request({ tos: DSCP + inner }), { tos: DSCP + outer });
        await mark(bed);
        // The kernel answers an echo request with its own type of service.
        t.strictSame(
          bed.peer.echoes().map(({ tos }) => tos),
          wanted === undefined ? [0] : [DSCP + wanted, 0],
          `inner ${ECN[inner]}, outer ${ECN[outer]}: ${wanted === undefined ? 'dropped' : ECN[wanted]}`,
        );
      }
    }
  });
}

/** A router that marks every fiftieth ECN-capable packet. */
const CONGESTION = `table ip congestion {
  chain out {
    type filter hook output priority mangle
    udp dport 8472 ip ecn != not-ect numgen inc mod 50 0 ip ecn set ce
  }
}
`;

/** The hooks of nftables do not see the fast path. */
async function congest(node: LabNode, level: string): Promise<void> {
  if (level !== 'bpf') {
    await node.exec(['nft', '-f', '-'], { input: CONGESTION });
    return;
  }
  const [link] = await ipJson<{ ifindex: number }[]>(node.netns, 'link', 'show', 'dev', node.iface);
  await node.exec([process.execPath, `${DIST}test/netns/peer/congestion-program.js`, String(link?.ifindex)]);
}

const nftables = await withNftables();
for (const level of LEVELS) {
  t.test(
    `TCP learns of congestion in the underlay and arrives unharmed, at offload level ${level}`,
    nftables,
    async (t) => {
      const lab = await makeBed(t, { name: `ecntcp-${level}` });
      const [from, to] = [lab.pod(1), lab.pod(2)];
      for (const { netns } of [from, to]) await sysctl(netns, { 'net/ipv4/tcp_ecn': 1 });
      const wefts = await startWefts(t, lab.nodes, atLevel(level));
      const marked = async () => (await snmpOf(to))['IpExt.InCEPkts'];
      const transfer = async () => {
        const { sent, received } = await stream(from, to, 32 << 20);
        t.equal(received, sent);
      };
      await transfer();
      t.equal(await marked(), 0, 'without congestion no packet is marked');

      await congest(lab.node(1), level);
      await transfer();
      t.ok(Number(await marked()) > 0, `${await marked()} marked packets reached the pod`);
      t.ok(Number((await snmpOf(from))['TcpExt.TCPDeliveredCE']) > 0, 'its sender learns of the marks');
      for (const weft of wefts) t.strictSame(await refusedBy(weft), {}, `${weft.node.name} refused none`);
      t.strictSame(await damageIn(lab), {}, 'no network stack counts a broken packet');
    },
  );
}
