/** Numbers and times in few characters. */

const UNITS = ['', 'k', 'M', 'G', 'T', 'P', 'E'];

/** Returns a rate in at most five characters, `1.23G`; a dash for one that is not known. */
export function quantity(value: number | undefined): string {
  if (value === undefined) return '-';
  if (value < 999.5) return String(value < 9.95 ? Number(value.toFixed(1)) : Math.round(value));
  let scaled = value;
  let unit = 0;
  for (; scaled >= 999.5 && unit < UNITS.length - 1; unit++) scaled /= 1000;
  const digits = scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
  return `${scaled.toFixed(digits)}${UNITS[unit]}`;
}

/** Returns a time span in its largest unit. */
export function span(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m`;
  return `${Math.floor(seconds / 3600)} h`;
}
