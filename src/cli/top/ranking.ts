/** The order of the peers on the screen: the most traffic first, without rows that change places all the time. */

/** How much more traffic a peer needs to pass another one. */
const LEAD = 1.1;

export interface Weighted {
  readonly weight: number;
}

/**
 * Sorts in place. An item moves up only past items whose weight it exceeds by a tenth; the others keep their order.
 * Afterwards no item has a tenth more than one above it.
 */
export function rank(items: Weighted[]): void {
  let smallest = Number.POSITIVE_INFINITY;
  for (let index = 0; index < items.length; index++) {
    const item = items[index];
    if (item.weight > smallest * LEAD) {
      const place = items.findIndex(({ weight }) => item.weight > weight * LEAD);
      items.copyWithin(place + 1, place, index);
      items[place] = item;
    }
    smallest = Math.min(smallest, item.weight);
  }
}
