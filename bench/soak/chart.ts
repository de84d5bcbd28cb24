/** A chart for the terminal. */

const WIDTH = 72;
const HEIGHT = 6;

/** Draws values over time, each column the largest value of its interval; the axis begins at the smallest value. */
export function chart(title: string, values: readonly number[]): string {
  const width = Math.min(WIDTH, values.length);
  const columns = Array.from({ length: width }, (_, column) => {
    const from = Math.floor((column * values.length) / width);
    const to = Math.floor(((column + 1) * values.length) / width);
    return Math.max(...values.slice(from, to));
  });
  const [low, high] = [Math.min(...columns), Math.max(...columns)];
  const step = (high - low) / (HEIGHT - 1) || 1;
  const rows = Array.from({ length: HEIGHT }, (_, row) => {
    const level = high - row * step;
    const label = row === 0 || row === HEIGHT - 1 ? (row === 0 ? high : low).toPrecision(4) : '';
    const bars = columns.map((value) => (value >= level - step / 2 ? '█' : ' ')).join('');
    return `${label.padStart(8)} │${bars}`;
  });
  return [title, ...rows, ''].join('\n');
}
