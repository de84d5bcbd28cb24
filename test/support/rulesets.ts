/** Rules of other programs as `iptables --list-rules` and `nft --json` print them, from real machines, shortened. */

/** kube-proxy's rules, with the jump that Weft appends. */
export const KUBE_PROXY = `-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N FLANNEL-FWD
-N KUBE-EXTERNAL-SERVICES
-N KUBE-FIREWALL
-N KUBE-FORWARD
-N KUBE-NODEPORTS
-N KUBE-PROXY-FIREWALL
-N KUBE-SERVICES
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "kube-system/kube-dns:dns-tcp has no endpoints" -m tcp --dport 53 -j REJECT --reject-with icmp-port-unreachable`;

/** Docker's rules: its policy is to drop, and its chains accept only its bridges. */
export const DOCKER = `-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-FORWARD
-N DOCKER-ISOLATION-STAGE-1
-N DOCKER-ISOLATION-STAGE-2
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -o docker0 -j DOCKER
-A DOCKER-FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN`;

/** ufw with `ufw default deny`; `forward` and `input` are rules of the user's and of the rejecting chains. */
export function ufw({ forward = '', input = '' }): string {
  return `-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-N ufw-before-forward
-N ufw-before-input
-N ufw-not-local
-N ufw-reject-forward
-N ufw-user-forward
-N ufw-user-input
-N ufw-user-limit
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-reject-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
${forward}
${input}`;
}

/** Calico's policy chains, as with Canal. */
export const CALICO = `-P INPUT ACCEPT
-P FORWARD ACCEPT
-N cali-FORWARD
-N cali-from-hep-forward
-N cali-from-wl-dispatch
-N cali-to-wl-dispatch
-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-FORWARD -m comment --comment "cali:vjrMJCRpqwy5oRoX" -j MARK --set-xmark 0x0/0xe0000
-A cali-FORWARD -m comment --comment "cali:A_sPAO0mcxbT9mOV" -m mark --mark 0x0/0x10000 -j cali-from-hep-forward
-A cali-FORWARD -i cali+ -m comment --comment "cali:8ZoYfO5HKXWbB3pk" -j cali-from-wl-dispatch
-A cali-FORWARD -o cali+ -m comment --comment "cali:jdEuaPBe14V2hutn" -j cali-to-wl-dispatch
-A cali-from-wl-dispatch -m comment --comment "cali:zTj6P0TIgYvgz-md" -m comment --comment "Unknown interface" -j DROP
-A cali-to-wl-dispatch -m comment --comment "cali:7KNphB1nNHw80nIO" -m comment --comment "Unknown interface" -j DROP`;

const ESTABLISHED = {
  match: { op: 'in', left: { ct: { key: 'state' } }, right: ['established', 'related'] },
};

/** Builds what nft prints as JSON for a table: its chains and their rules. */
function nftTable(
  family: string,
  table: string,
  chains: readonly (Record<string, unknown> & { name: string; rules: readonly unknown[][] })[],
): { chains: object[]; table: object[] } {
  const listed = chains.map(({ rules: _, ...chain }) => ({ chain: { family, table, handle: 1, ...chain } }));
  const rules = chains.flatMap(({ name, rules }) =>
    rules.map((expr, index) => ({ rule: { family, table, chain: name, handle: index + 2, expr } })),
  );
  return { chains: listed, table: [...listed, ...rules] };
}

/** firewalld's table: interface eth0 is in the zone public, and the pod network in `trusted` if it is a source. */
export function firewalld({
  trusted,
  port,
}: {
  trusted?: string;
  port?: number;
}): ReturnType<typeof nftTable> {
  const [addr, len] = trusted?.split('/') ?? [];
  const source = { payload: { protocol: 'ip', field: 'saddr' } };
  const isTrusted = { match: { op: '==', left: source, right: { prefix: { addr, len: Number(len) } } } };
  const fromLo = { match: { op: '==', left: { meta: { key: 'iifname' } }, right: 'lo' } };
  const isPort = { match: { op: '==', left: { payload: { protocol: 'udp', field: 'dport' } }, right: port } };
  const final = [{ reject: { type: 'icmpx', expr: 'admin-prohibited' } }];
  const sourceRule = (chain: string) =>
    trusted === undefined ? [] : [[isTrusted, { goto: { target: chain } }]];
  const base = { type: 'filter', prio: 10, policy: 'accept' };
  return nftTable('inet', 'firewalld', [
    {
      ...{ name: 'filter_FORWARD', hook: 'forward', ...base },
      rules: [
        [ESTABLISHED, { accept: null }],
        [{ match: { op: 'in', left: { ct: { key: 'status' } }, right: 'dnat' } }, { accept: null }],
        [fromLo, { accept: null }],
        [{ jump: { target: 'filter_FORWARD_ZONES' } }],
        final,
      ],
    },
    {
      ...{ name: 'filter_INPUT', hook: 'input', ...base },
      rules: [
        [ESTABLISHED, { accept: null }],
        [fromLo, { accept: null }],
        [{ jump: { target: 'filter_IN_public' } }],
        final,
      ],
    },
    {
      name: 'filter_FORWARD_ZONES',
      rules: [...sourceRule('filter_FWD_trusted'), [{ goto: { target: 'filter_FWD_public' } }]],
    },
    { name: 'filter_FWD_trusted', rules: [[{ accept: null }]] },
    {
      name: 'filter_FWD_public',
      rules: [
        [
          {
            match: {
              op: '==',
              left: { meta: { key: 'l4proto' } },
              right: { set: ['icmp', 'ipv6-icmp'] },
            },
          },
          { accept: null },
        ],
      ],
    },
    { name: 'filter_IN_public', rules: port === undefined ? [] : [[isPort, { accept: null }]] },
  ]);
}

/** A hand-written `table inet filter` whose chains drop by policy; `accepted` is a rule of its input chain. */
export function serverFilter(accepted: readonly unknown[]): ReturnType<typeof nftTable> {
  const states = [
    ['established', { accept: null }],
    ['related', { accept: null }],
    ['invalid', { drop: null }],
  ];
  const byState = { vmap: { key: { ct: { key: 'state' } }, data: { set: states } } };
  const base = { type: 'filter', prio: 0, policy: 'drop' };
  return nftTable('inet', 'filter', [
    { ...{ name: 'input', hook: 'input', ...base }, rules: [[byState], [...accepted]] },
    { ...{ name: 'forward', hook: 'forward', ...base }, rules: [] },
  ]);
}
