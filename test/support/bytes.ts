/** Bytes, addresses and MACs from the text that tests write. */

/** Returns the bytes of hexadecimal text; white space is ignored. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(text.replaceAll(/\s/g, '').match(/../g) ?? [], (digits) =>
    Number.parseInt(digits, 16),
  );
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Returns `length` pseudo-random bytes, the same for the same seed. */
export function pattern(length: number, seed = 1): Uint8Array {
  let state = seed >>> 0;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

/** Returns an IPv4 address in the dataplane's form: signed, host order. */
export function ipv4(text: string): number {
  return text.split('.').reduce((sum, part) => (sum << 8) | Number(part), 0);
}

/** Returns an IPv6 address in the dataplane's form: four words, signed, host order. */
export function ipv6(text: string): [number, number, number, number] {
  const groups = (part: string) => part.split(':').filter((group) => group !== '');
  const [head = '', tail] = text.split('::');
  const left = groups(head);
  const right = groups(tail ?? '');
  const gap = Array<string>(8 - left.length - right.length).fill('0');
  const all = [...left, ...gap, ...right].map((group) => Number.parseInt(group, 16));
  const word = (index: number) => (all[2 * index] << 16) | all[2 * index + 1];
  return [word(0), word(1), word(2), word(3)];
}

/** Returns a MAC in the dataplane's form. */
export function mac(text: string): { high: number; low: number } {
  const view = viewOf(hex(text.replaceAll(':', '')));
  return { high: view.getUint16(0), low: view.getInt32(2) };
}
