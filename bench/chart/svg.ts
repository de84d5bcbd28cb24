/** The chart of the speed as SVG, drawn by Apache ECharts without a browser. */

import { BarChart } from 'echarts/charts';
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { Result } from '../netns/result.js';
import { labelOf, nameOf, type Panel, panelsOf, peersOf } from './panels.js';

use([BarChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

export const THEMES = ['light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

interface Colours {
  readonly text: string;
  readonly faint: string;
  /** Of the peers, in the order of peersOf. */
  readonly bars: readonly string[];
}

/** Colours that can be told apart on the background of the theme; the background itself is the page's. */
const COLOURS: Readonly<Record<Theme, Colours>> = {
  light: {
    text: '#1f2328',
    faint: '#656d76',
    bars: ['#8c959f', '#0969da', '#1a7f37', '#9a6700', '#cf222e', '#8250df'],
  },
  dark: {
    text: '#e6edf3',
    faint: '#8d96a0',
    bars: ['#6e7681', '#58a6ff', '#3fb950', '#d29922', '#f85149', '#a371f7'],
  },
};

const WIDTH = 840;
const FONT = 'system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif';
const LEFT = 90;
/** Room for the label of the longest bar. */
const RIGHT = 110;
const TOP = 44;
const BAR_HEIGHT = 15;
const CATEGORY_GAP = 10;
const TITLE_HEIGHT = 26;
const PANEL_GAP = 16;
const FOOT_HEIGHT = 26;

/** A panel with its place. */
interface Placed extends Panel {
  readonly top: number;
  readonly height: number;
}

/** Draws the chart of a result. The same result gives the same text. */
export function speedChart(result: Result, theme: Theme): string {
  const panels = placed(panelsOf(result.summary));
  const last = panels.at(-1);
  const height = (last === undefined ? TOP : last.top + last.height) + FOOT_HEIGHT;
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  try {
    chart.setOption(optionsOf(result, panels, height, COLOURS[theme]));
    return described(chart.renderToSVGString());
  } finally {
    chart.dispose();
  }
}

function placed(panels: readonly Panel[]): Placed[] {
  let top = TOP;
  return panels.map((panel) => {
    const height = panel.categories.length * (panel.bars.size * BAR_HEIGHT + CATEGORY_GAP);
    const place = { ...panel, top: top + TITLE_HEIGHT, height };
    top += TITLE_HEIGHT + height + PANEL_GAP;
    return place;
  });
}

function optionsOf(
  { machine, summary }: Result,
  panels: readonly Placed[],
  height: number,
  { text, faint, bars }: Colours,
): Parameters<ReturnType<typeof init>['setOption']>[0] {
  const peers = peersOf(summary);
  const colourOf = (peer: string) => bars[peers.indexOf(peer) % bars.length];
  // Without the build of a distribution, which would not fit.
  const kernel = /^\d+\.\d+/.exec(machine.kernel)?.[0] ?? machine.kernel;
  const foot =
    `${machine.cpu}, ${machine.cores} cores, kernel ${kernel}, Node.js ${machine.node}, ` +
    `${machine.date.slice(0, 10)}. Two nodes share the machine; medians; × is the ratio to the kernel.`;
  return {
    animation: false,
    textStyle: { fontFamily: FONT, color: text },
    legend: {
      top: 8,
      left: 0,
      data: peers.filter((peer) => panels.some((panel) => panel.bars.has(peer))).map(nameOf),
      icon: 'rect',
      itemWidth: 12,
      itemHeight: 12,
      itemGap: 20,
      textStyle: { color: text, fontSize: 13 },
    },
    title: [
      ...panels.map((panel) => ({
        text: panel.title,
        top: panel.top - TITLE_HEIGHT,
        left: 0,
        textStyle: { color: text, fontSize: 14, fontWeight: 'bold' as const },
      })),
      { text: foot, top: height - FOOT_HEIGHT + 4, left: 0, textStyle: { ...footStyle, color: faint } },
    ],
    grid: panels.map(({ top, height }) => ({ left: LEFT, right: RIGHT, top, height })),
    xAxis: panels.map((_, gridIndex) => ({ type: 'value' as const, gridIndex, show: false, min: 0 })),
    yAxis: panels.map(({ categories }, gridIndex) => ({
      type: 'category' as const,
      gridIndex,
      data: [...categories],
      inverse: true,
      axisTick: { show: false },
      axisLine: { lineStyle: { color: faint } },
      axisLabel: { color: text, fontSize: 13 },
    })),
    series: panels.flatMap((panel, index) =>
      [...panel.bars].map(([peer, ofPeer]) => ({
        type: 'bar' as const,
        name: nameOf(peer),
        xAxisIndex: index,
        yAxisIndex: index,
        barWidth: BAR_HEIGHT - 2,
        barGap: '20%',
        itemStyle: { color: colourOf(peer) },
        label: { show: true, position: 'right' as const, color: text, fontSize: 12 },
        data: ofPeer.map((bar) =>
          bar === undefined ? '-' : { value: bar.value, label: { formatter: labelOf(bar) } },
        ),
      })),
    ),
  };
}

const footStyle = { fontSize: 11, fontWeight: 'normal' } as const;

/** Adds a title for screen readers, and takes out the styles for a mouse: their names count the charts of the process. */
function described(svg: string): string {
  const title = "<title>Speed of Weft beside the kernel's vxlan</title>";
  return `${svg
    .replace(/^(<svg[^>]*>)/, `$1\n${title}`)
    .replace(/<style[^]*<\/style>\n?/, '')
    .replaceAll(/ class="zr[^"]*"/g, '')}\n`;
}
