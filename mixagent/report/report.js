"use strict";
/* The report of a master: its player, and what the charts read under the pointer. */
(() => {
  const { clock, fixed, band, bandDb, readout } = listening;
  const report = JSON.parse(document.getElementById("report").textContent);
  const root = document.getElementById("player");
  const { before, after } = report;

  if (root) listening.attach(root);

  const tone = (share) => {
    const [k, label] = band([before, after], share);
    const change = bandDb(after, k) - bandDb(before, k);
    return `${label}: ${change >= 0 ? "+" : ""}${fixed(change)} dB`;
  };
  const loud = (share) => {
    const second = Math.min(Math.floor(share * report.input.duration_s), after.short_term_lufs.length - 1);
    const read = (side) => {
      const value = side.short_term_lufs[second];
      return value === null || value === undefined ? "–" : fixed(value);
    };
    return `${clock(Math.max(second, 0))}: ${read(before)} → ${read(after)} LUFS`;
  };
  readout("spectrum", document.getElementById("tone-readout"), tone);
  readout("difference", document.getElementById("tone-readout"), tone);
  readout("loudness", document.getElementById("loudness-readout"), loud);
})();
