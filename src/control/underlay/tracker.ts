/**
 * The underlay as tracked state: interface, address and MTU of each family. The start-up rules choose them. The choice stays
 * until its address or its interface disappears; then the rules choose again. So a VPN that becomes the default route moves
 * no node, and a node whose address changes is followed.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { type Family, familyName, perFamily } from '../addresses/family.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import { type Link, localAddresses, readLinks } from '../kernel/links.js';
import type { KernelEvent } from '../kernel/monitor.js';
import { OVERLAY_DEVICE } from '../kernel/tun-holders.js';
import { Outage } from '../leases/outage.js';
import type { UnderlayOptions } from '../options.js';
import { shellWord } from '../support/printable.js';
import { UserError } from '../support/user-error.js';
import { addressesOn, chooseUnderlay, type FamilyAddress, type Underlay } from './choose.js';
import { UnderlayMissing } from './rules.js';

/** Pause between two looks for a missing underlay. */
const POLL_MS = 500;

/** The underlay of one family. */
export type UnderlayState =
  | {
      name: 'present';
      link: Link;
      address: FamilyAddress;
      /** Every address of this machine, except those of dummy interfaces. */
      local: readonly Ip[];
    }
  | { name: 'absent'; reason: string };

export type PresentUnderlay = Extract<UnderlayState, { name: 'present' }>;

/** A choice for every family of the cluster, and all links of the machine. */
export interface ChosenUnderlay extends Underlay {
  links: Link[];
}

export class UnderlayTracker {
  private readonly options: UnderlayOptions;
  private readonly families: readonly Family[];
  private readonly outage = new Outage();
  /** The choice of each family, as last seen. */
  private readonly chosen = new Map<Family, PresentUnderlay>();
  private absent: readonly Family[] = [];

  constructor(options: UnderlayOptions, families: readonly Family[]) {
    this.options = options;
    this.families = families;
  }

  /** Why no packet can pass, for every family without an underlay; null while all have one. */
  get notReady(): string | null {
    return this.outage.notReady;
  }

  /** Chooses once, from this machine's links. @throws UserError, or UnderlayMissing if something may appear later */
  async choose(reading: Promise<Link[]> = readLinks()): Promise<ChosenUnderlay> {
    const links = await reading;
    const candidates = withoutOverlays(links);
    const underlay = await this.chooseFrom(candidates, this.families);
    for (const family of this.families) this.chosen.set(family, presentOf(underlay, family, candidates));
    return { ...underlay, links };
  }

  /**
   * Waits until every family has an underlay. Logs at once what is missing, then once a minute. `first`: the links for the
   * first choice, if they have been read already.
   * @throws UserError if waiting cannot help; the signal's reason once the signal is aborted
   */
  async wait(signal: AbortSignal, first?: Promise<Link[]>): Promise<ChosenUnderlay> {
    let links = first;
    for (;;) {
      try {
        const chosen = await this.choose(links);
        this.report({});
        return chosen;
      } catch (error) {
        if (!(error instanceof UnderlayMissing)) throw error;
        const { reason } = error;
        this.report(perFamily(this.families, () => reason));
      }
      links = undefined;
      await delay(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /**
   * Reads the present state of every family, and logs what is missing. Call it only after `choose` or `wait`.
   * @throws UserError if `ip` fails
   */
  async observe(): Promise<ReadonlyMap<Family, UnderlayState>> {
    const links = withoutOverlays(await readLinks());
    const states = new Map<Family, UnderlayState>();
    for (const family of this.families) {
      const state = await this.stateOf(family, links);
      if (state.name === 'present') this.chosen.set(family, state);
      states.set(family, state);
    }
    this.report(
      perFamily(this.families, (family) => {
        const state = states.get(family);
        return state?.name === 'absent' ? state.reason : undefined;
      }),
    );
    return states;
  }

  /** Returns whether the event may change the state of a family. */
  affects(event: KernelEvent): boolean {
    const chosen = [...this.chosen.values()];
    switch (event.kind) {
      case 'link':
        return (
          this.absent.length > 0 ||
          chosen.some(({ link }) => link.index === event.index || link.name === event.name)
        );
      case 'address':
        return (
          this.absent.length > 0 ||
          chosen.some(
            ({ link, address }) =>
              link.index === event.index || [address.address, address.publicIp].includes(event.address),
          )
        );
      case 'route':
        return this.absent.length > 0 && event.destination === 'default';
      default:
        return false;
    }
  }

  private async stateOf(family: Family, links: readonly Link[]): Promise<UnderlayState> {
    const before = this.chosen.get(family);
    const kept = this.kept(family, links);
    const state =
      kept !== undefined && isAsChosen(kept, before, family, links)
        ? kept
        : await this.chosenAgain(family, links);
    // An address that moved to another interface serves while the rules find nothing better.
    const found = state.name === 'absent' ? (kept ?? state) : state;
    if (found.name === 'absent' || before === undefined) return found;
    const { publicIp } = found.address;
    const lost = before.local.includes(publicIp) && !found.local.includes(publicIp);
    if (!lost) return found;
    return { name: 'absent', reason: `${formatIp(publicIp)} is no longer an address of this node` };
  }

  /** Returns the state of a family whose choice still exists. */
  private kept(family: Family, links: readonly Link[]): PresentUnderlay | undefined {
    const before = this.chosen.get(family);
    if (before === undefined) return undefined;
    const link =
      links.find(({ index, name }) => index === before.link.index && name === before.link.name) ??
      links.find(({ name }) => name === before.link.name);
    const { address } = before.address;
    if (link === undefined || !link.up || link.mtu === 0) return undefined;
    const local = localAddresses(links);
    if (!local.includes(address) && !link.assigned.some((assigned) => assigned.address === address))
      return undefined;
    if (links.some(({ tentative }) => tentative.includes(address))) return undefined;
    return { name: 'present', link, address: addressesOn(link, family, before.address), local };
  }

  private async chosenAgain(family: Family, links: readonly Link[]): Promise<UnderlayState> {
    try {
      const together = this.chooseFrom(links, this.families);
      // A family that has its address again does not wait for the other one.
      const underlay = await together.catch(() => this.chooseFrom(links, [family]));
      return presentOf(underlay, family, links);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return { name: 'absent', reason: error instanceof UnderlayMissing ? error.reason : error.message };
    }
  }

  /** @throws UserError, or UnderlayMissing if something may appear later */
  private async chooseFrom(links: readonly Link[], families: readonly Family[]): Promise<Underlay> {
    const underlay = await chooseUnderlay(links, this.options, families);
    const { name, up } = underlay.link;
    if (!up)
      throw new UnderlayMissing(`${name} is down; bring it up (ip link set dev ${shellWord(name)} up)`);
    for (const family of families) {
      const address = underlay.families[family]?.address;
      if (address === undefined || !links.some(({ tentative }) => tentative.includes(address))) continue;
      throw new UnderlayMissing(
        `${formatIp(address)} of ${name} is tentative: duplicate address detection runs, or another machine has the address (ip -6 address show dev ${name})`,
      );
    }
    return underlay;
  }

  /** Records and logs which families have no underlay, and why. */
  private report(reasons: { readonly [F in Family]?: string | undefined }): void {
    const absent = this.families.filter((family) => reasons[family] !== undefined);
    this.absent = absent;
    if (absent.length === 0) {
      const present = [...this.chosen.values()].map(
        ({ link, address }) => `${link.name} with ${formatIp(address.address)}, MTU ${link.mtu}`,
      );
      this.outage.end(`the underlay is present: ${present.join('; ')}`);
      return;
    }
    const texts = new Set(absent.map((family) => reasons[family]));
    const families = this.families.length > absent.length ? ` (${absent.map(familyName).join(', ')})` : '';
    this.outage.report(`waiting for the underlay${families}: ${[...texts].join('; ')}`, absent.join());
  }
}

/** Leaves out overlay devices: a DHCP client may give one an address of the underlay. */
function withoutOverlays(links: readonly Link[]): Link[] {
  return links.filter(({ name }) => !OVERLAY_DEVICE.test(name));
}

/**
 * Returns whether the rules need not choose again: the address is usable on its interface, or on the other interface that
 * always had it. Otherwise it moved, or it is deprecated.
 */
function isAsChosen(
  { link, address: { address } }: PresentUnderlay,
  before: PresentUnderlay | undefined,
  family: Family,
  links: readonly Link[],
): boolean {
  const isUsableOn = ({ usable }: Link): boolean => usable[family].includes(address);
  if (isUsableOn(link)) return true;
  return links.some(isUsableOn) && before !== undefined && !isUsableOn(before.link);
}

function presentOf({ link, families }: Underlay, family: Family, links: readonly Link[]): PresentUnderlay {
  const address = families[family];
  if (address === undefined) throw new Error(`the choice has no ${familyName(family)} address`);
  return { name: 'present', link, address, local: localAddresses(links) };
}
