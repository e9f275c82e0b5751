/* Tone and loudness of a report, drawn as the report's page draws them. */
import { clock, number } from "../format.js";
import { texts } from "../texts.js";
import { html, useState } from "../vendor/preact.js";

const j = texts.job, LOW_HZ = 22, HIGH_HZ = 20000, SPANS_DB = [30, 40, 60];
const HZ_TICKS = [60, 125, 250, 500, 1000, 2000, 4000, 8000, 16000], MINOR_HZ = [60, 250, 1000, 4000, 16000];

const xOf = (hz) => Math.log(hz / LOW_HZ) / Math.log(HIGH_HZ / LOW_HZ);
const hzLabel = (hz) => (hz >= 1000 ? `${hz / 1000}k` : String(hz));

/** A line through points of 0 to 1, broken where there is none. */
function line(points) {
  let isDown = false, path = "";
  for (const [x, y] of points) {
    if (Number.isFinite(y)) path += `${isDown ? "L" : "M"}${(1000 * x).toFixed(1)} ${(1000 * Math.min(Math.max(y, 0), 1)).toFixed(1)}`;
    isDown = Number.isFinite(y);
  }
  return path;
}

function Plot({ id, label, xTicks, yTicks, lines, unit, xUnit, readout }) {
  const [at, setAt] = useState(null);
  const move = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    setAt(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
  };
  return html`<p class="legend"><span class="key"><i class="key-before"></i> ${j.before}</span><span class="key"><i class="key-after"></i> ${j.after}</span><output>${at === null ? "" : readout(at)}</output></p>
    <figure class="chart" id=${id}><div class="plot" role="img" aria-label=${label} onPointerMove=${move} onPointerLeave=${() => setAt(null)}>
      ${yTicks.map((tick) => html`<i class="grid-y" style=${{ top: `${tick.percent}%` }}></i><span class="tick-y" style=${{ top: `${tick.percent}%` }}>${tick.label}</span>`)}
      ${xTicks.map((tick) => html`<i class="grid-x" style=${{ left: `${tick.percent}%` }}></i><span class=${tick.minor ? "tick-x minor" : "tick-x"} style=${{ left: `${tick.percent}%` }}>${tick.label}</span>`)}
      <svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">${lines.map(([kind, path]) => html`<path class=${kind} d=${path} />`)}</svg>
      <span class="unit-y">${unit}</span>${xUnit && html`<span class="unit-x">${xUnit}</span>`}</div></figure>`;
}

function Tone({ report }) {
  const judged = report.judged?.measures, { before, after } = report.measures ?? {};
  if (!judged || !before || !after) return null;
  const names = Object.keys(judged).filter((name) => name.startsWith("tone_")), hz = names.map((name) => Number(name.slice(5)));
  const curves = { before, after };
  const values = (side) => names.map((name) => {
    const value = curves[side].values[name];
    return value === null || value === undefined ? NaN : value - judged[name].mean;
  });
  const all = [...values("before"), ...values("after")].filter(Number.isFinite).sort((one, other) => one - other);
  const low = Math.min(all[0], -10), high = Math.max(all.at(-1), 10);
  const span = SPANS_DB.find((each) => each >= high - low) ?? SPANS_DB.at(-1), bottom = 5 * Math.round(((low + high) - span) / 10);
  const y = (db) => 1 - (db - bottom) / span;
  const curve = (dbs) => line(dbs.map((db, k) => [xOf(hz[k]), y(db)]));
  const spread = names.map((name) => judged[name].spread);
  const back = line([...names.keys()].reverse().map((k) => [xOf(hz[k]), y(-spread[k])])).replace("M", "L");
  const yTicks = Array.from({ length: span / 10 + 1 }, (_, k) => ({ percent: 1000 * k / span, label: signed(bottom + span - 10 * k, 0) }));
  const xTicks = HZ_TICKS.map((each) => ({ percent: 100 * xOf(each), label: hzLabel(each), minor: MINOR_HZ.includes(each) }));
  const readout = (x) => {
    const at = LOW_HZ * (HIGH_HZ / LOW_HZ) ** x;
    const k = hz.reduce((best, each, place) => (Math.abs(Math.log(each / at)) < Math.abs(Math.log(hz[best] / at)) ? place : best), 0);
    return `${hz[k] >= 1000 ? `${hz[k] / 1000} kHz` : `${hz[k]} Hz`}: ${signed(values("before")[k])} → ${signed(values("after")[k])} dB`;
  };
  const lines = [["inner", `${curve(spread)}${back}Z`], ["mean", curve(spread.map(() => 0))], ["before", curve(values("before"))], ["after", curve(values("after"))]];
  return html`<h3>${j.tone}</h3><p class="lead">${j.toneLead}</p><${Plot} id="tone" label=${j.tone} xTicks=${xTicks} yTicks=${yTicks} lines=${lines} unit="dB" xUnit="Hz" readout=${readout} />`;
}

const signed = (value, digits = 1) => (Number.isFinite(value) ? `${value > 0 ? "+" : ""}${number(value, digits)}` : "–");

function Loudness({ report }) {
  const start = Math.round(report.edits?.trimmed_start_s ?? 0);
  const before = report.before.short_term_lufs.slice(start), after = report.after.short_term_lufs;
  const known = [...before, ...after].filter(Number.isFinite);
  if (known.length < 4) return null;
  const top = 5 * Math.ceil((Math.max(...known, report.target.integrated_lufs) + 1) / 5), bottom = Math.max(5 * Math.floor(Math.min(...known) / 5), top - 40);
  const y = (lufs) => 1 - (lufs - bottom) / (top - bottom), seconds = Math.max(after.length - 1, 1);
  const curve = (values) => line(values.slice(0, after.length).map((lufs, k) => [k / seconds, lufs === null ? NaN : y(lufs)]));
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300].find((each) => seconds / each <= 9) ?? 600;
  const xTicks = Array.from({ length: Math.floor(seconds * 0.97 / step) + 1 }, (_, k) => ({ percent: 100 * k * step / seconds, label: clock(k * step), minor: k % 2 === 1 }));
  const yTicks = Array.from({ length: (top - bottom) / 5 + 1 }, (_, k) => ({ percent: 500 * k / (top - bottom), label: number(top - 5 * k, 0) }));
  const goal = y(report.target.integrated_lufs);
  const readout = (x) => {
    const k = Math.round(x * seconds);
    return `${clock(k)}: ${number(before[k])} → ${number(after[k])} LUFS`;
  };
  return html`<h3>${j.loudnessTime}</h3><p class="lead">${j.loudnessLead}</p><${Plot} id="loudness" label=${j.loudnessTime} xTicks=${xTicks} yTicks=${yTicks} unit="LUFS" readout=${readout}
    lines=${[["target", line([[0, goal], [1, goal]])], ["before", curve(before)], ["after", curve(after)]]} />`;
}

export const Charts = ({ report }) => html`<section aria-labelledby="charts-title"><h2 id="charts-title">${j.charts}</h2><${Tone} report=${report} /><${Loudness} report=${report} /></section>`;
