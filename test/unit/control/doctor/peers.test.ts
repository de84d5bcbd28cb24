import t from 'tap';
import type { FamilyView } from '../../../../src/control/doctor/facts.js';
import { findingOfPeer, withCommonCause } from '../../../../src/control/doctor/peer-findings.js';
import { reportOf } from '../../../../src/control/doctor/peer-verdict.js';
import type { ProbeResult } from '../../../../src/dataplane/dataplane.js';

const peer = {
  publicIp: '192.168.77.2',
  subnet: '10.244.2.0/24',
  overlayAddress: '10.244.2.0',
  vtepMac: '02:00:00:00:00:02',
};
const family: FamilyView = {
  family: 'ipv4',
  device: 'flannel.1',
  mtu: 1450,
  overhead: 50,
  underlay: 'eth0',
  address: '192.168.77.1',
  port: 8472,
  network: '10.244.0.0/16',
  subnet: '10.244.1.0/24',
  overlayAddress: '10.244.1.0',
  vtepMac: '02:00:00:00:00:01',
  directRouting: false,
  peers: [peer],
};
const silent: ProbeResult = {
  underlaySmall: null,
  underlayFull: null,
  tunnelSmall: null,
  tunnelFull: null,
  pathMtu: null,
  portUnreachable: false,
  unreachableCode: null,
  refused: null,
  sightings: [],
};
const seen = { outerSource: 0xc0a84d02 | 0, innerMac: peer.vtepMac, innerSource: 0, arpReply: true };

t.test('reportOf draws the verdict from the evidence', async (t) => {
  for (const [evidence, verdict] of [
    [{ tunnelSmall: 1, tunnelFull: 1, underlaySmall: 1, underlayFull: 1 }, 'healthy'],
    [{ tunnelSmall: 1, tunnelFull: 1 }, 'healthy'],
    [{ tunnelSmall: 1, tunnelFull: 1, underlaySmall: 1 }, 'path-mtu-too-small'],
    [{ tunnelSmall: 1 }, 'path-mtu-too-small'],
    [{}, 'underlay-unreachable'],
    [{ underlaySmall: 1 }, 'udp-port-filtered'],
    [{ portUnreachable: true }, 'udp-port-filtered'],
    [{ underlaySmall: 1, sightings: [{ ...seen, outerSource: 1 }] }, 'wrong-source-address'],
    [{ underlaySmall: 1, sightings: [{ ...seen, innerMac: '02:00:00:00:00:aa' }] }, 'changed-mac'],
    [{ underlaySmall: 1, sightings: [seen] }, 'ping-filtered'],
  ] as const) {
    t.equal(
      reportOf(family, peer, { ...silent, ...evidence, sightings: [...(evidence.sightings ?? [])] }).verdict,
      verdict,
    );
  }
  const answers = { ...silent, tunnelSmall: 1, tunnelFull: 1, underlaySmall: 1 };
  t.equal(reportOf({ ...family, directRouting: true }, peer, answers).verdict, 'healthy', 'no fragments');
  const refused = { ...silent, refused: 'EPERM' };
  t.equal(reportOf(family, peer, refused).verdict, 'underlay-unreachable', 'no answer to ARP either');
  t.equal(reportOf({ ...family, family: 'ipv6' }, peer, refused).verdict, 'ping-filtered');
  const barrier = { key: 'firewall output ipv4 x', message: 'x drops' };
  t.equal(reportOf(family, peer, silent, barrier).verdict, 'udp-port-filtered');
  t.equal(reportOf(family, peer, { ...silent, sightings: [seen] }, barrier).verdict, 'udp-port-filtered');
});

t.test('findingOfPeer names the command for this node, for the peer, and for its family', async (t) => {
  const barrier = { key: 'firewall output ipv4 x', message: 'x drops', fix: 'nft delete rule x' };
  for (const [evidence, own, of, what, fix] of [
    [{}, barrier, family, /nothing comes through the tunnel/, 'nft delete rule x'],
    [{ underlaySmall: 1 }, undefined, family, /answers pings/, /^iptables -I INPUT .* # on 192\.168\.77\.2/],
    [
      { underlaySmall: 1 },
      undefined,
      { ...family, family: 'ipv6' as const },
      /answers pings/,
      /^ip6tables -I INPUT -p udp --dport 8472/,
    ],
    [{ portUnreachable: true }, undefined, family, /is refused/, /^ss -lun "sport = :8472" /],
    [{ refused: 'ENETUNREACH' }, undefined, family, /cannot send to it \(ENETUNREACH\)/, /^ip route get /],
    [
      { refused: 'EPERM' },
      undefined,
      family,
      /firewall of this node/,
      /^iptables -I OUTPUT -p icmp -j ACCEPT/,
    ],
    [
      { refused: 'EPERM', sightings: [seen] },
      undefined,
      family,
      /firewall of this node drops pings/,
      'iptables -I OUTPUT -p icmp -j ACCEPT',
    ],
    [
      { refused: 'EPERM' },
      undefined,
      { ...family, family: 'ipv6' as const },
      /firewall of this node drops pings/,
      'ip6tables -I OUTPUT -p ipv6-icmp -j ACCEPT',
    ],
    [{ unreachableCode: 1 }, undefined, family, /a router answers/, /^ping -c 3 /],
  ] as const) {
    const result = {
      ...silent,
      ...evidence,
      sightings: 'sightings' in evidence ? [...evidence.sightings] : [],
    };
    const report = reportOf(of, peer, result, own);
    t.match(findingOfPeer(of, peer, report, result, own), { id: report.verdict, what, fix });
  }
});

t.test('withCommonCause points at this node where no peer answers, and only there', async (t) => {
  const lost = reportOf(family, peer, { ...silent, underlaySmall: 1 });
  const found = findingOfPeer(family, peer, lost, silent, undefined);
  const findings = found === undefined ? [] : [found];
  t.match(withCommonCause([lost, lost], findings), [{ why: /may be this node, or its network\.$/ }]);
  t.strictSame(withCommonCause([lost], findings), findings, 'a single peer proves nothing');
  const healthy = reportOf(family, peer, { ...silent, tunnelSmall: 1, tunnelFull: 1 });
  t.strictSame(withCommonCause([lost, healthy], findings), findings);
  const pingless = reportOf(family, peer, { ...silent, sightings: [seen] });
  t.strictSame(withCommonCause([pingless, pingless], findings), findings, 'ARP has been answered');
});
