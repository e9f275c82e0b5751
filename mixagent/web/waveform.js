/* Waveforms, whose peaks the service has computed. */
import { get } from "./api.js";
import { html, useEffect, useState } from "./vendor/preact.js";

const POINTS = 800, known = new Map();

/** The outline of a sound as an SVG path in a box of 1000 by 1000; empty until it is here. */
export function usePeaks(url, fromS = 0, lengthS = null) {
  const [path, setPath] = useState("");
  useEffect(() => {
    let here = true;
    if (!url) return undefined;
    peaksOf(url).then((peaks) => { if (here) setPath(pathOf(peaks, fromS, lengthS)); }, () => {});
    return () => { here = false; };
  }, [url, fromS, lengthS]);
  return path;
}

function peaksOf(url) {
  if (!known.has(url)) {
    const asked = get(`${url}?points=${POINTS}`);
    known.set(url, asked);
    asked.catch(() => known.delete(url));
  }
  return known.get(url);
}

function pathOf({ min, max, points, duration_s: durationS }, fromS, lengthS) {
  const place = (seconds) => Math.min(Math.max(Math.round(points * seconds / durationS), 0), points);
  const from = place(fromS), to = lengthS === null ? points : Math.max(place(fromS + lengthS), from + 2);
  const lows = min.slice(from, to), highs = max.slice(from, to);
  const x = (k) => (1000 * k / Math.max(lows.length - 1, 1)).toFixed(1);
  const y = (value) => (500 * (1 - Math.min(Math.max(value, -1), 1))).toFixed(1);
  const there = highs.map((value, k) => `${x(k)} ${y(Math.max(value, lows[k] + 0.004))}`);
  const back = lows.map((value, k) => `${x(k)} ${y(value)}`).reverse();
  return there.length ? `M${there.join("L")}L${back.join("L")}Z` : "";
}

export const Wave = ({ path, label }) => html`
  <svg class=${path ? "wave here" : "wave"} viewBox="0 0 1000 1000" preserveAspectRatio="none" role=${label ? "img" : undefined}
    aria-label=${label} aria-hidden=${label ? undefined : "true"}><path d=${path} /></svg>`;

/** A sound's waveform by the address of its peaks. */
export const WaveOf = ({ url, label }) => html`<${Wave} path=${usePeaks(url)} label=${label} />`;
