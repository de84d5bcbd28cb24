/** Formats a duration as Go does, to a tenth of a second: `22h59m58.9s`. */
export function goDuration(ms: number): string {
  const tenths = Math.max(0, Math.round(ms / 100));
  const seconds = (tenths % 600) / 10;
  const minutes = Math.floor(tenths / 600);
  const hours = Math.floor(minutes / 60);
  if (hours > 0) return `${hours}h${minutes % 60}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
