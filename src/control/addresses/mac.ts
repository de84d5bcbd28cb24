/** Ethernet addresses: lower-case text with colons. */

/** Returns the canonical text of a MAC that a VTEP can have, unicast and not zero; undefined for any other text. */
export function parseVtepMac(text: string): string | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  const mac = text.toLowerCase();
  const multicast = (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
  return multicast || mac === '00:00:00:00:00:00' ? undefined : mac;
}

/** Returns the dataplane's form of a MAC: the first two bytes, and the last four as a signed number. */
export function splitMac(mac: string): { high: number; low: number } {
  const digits = mac.replaceAll(':', '');
  return { high: Number.parseInt(digits.slice(0, 4), 16), low: Number.parseInt(digits.slice(4), 16) | 0 };
}

/** Returns the text of a MAC given as one number below 2^48. */
export function formatMac(mac: number): string {
  const digits = mac.toString(16).padStart(12, '0');
  return digits.replace(/..(?!$)/g, '$&:');
}
