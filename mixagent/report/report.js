"use strict";
/* The report of a master: its player, and what the charts read under the pointer. */
(() => {
  const { clock, fixed, readout } = listening;
  const report = JSON.parse(document.getElementById("report").textContent);
  const root = document.getElementById("player");
  const { before, after } = report;

  if (root) {
    const player = listening.attach(root);
    listening.hearRepairs(player);
    listening.hearStems(player);
  }

  /* Third octaves under the pointer; the axis of the charts goes from 22 Hz to 20 kHz. */
  const under = (group) => {
    const names = report.judged ? Object.keys(report.judged.measures).filter((name) => name.startsWith(`${group}_`)) : [];
    const hz = names.map((name) => Number(name.split("_")[1]));
    const value = (side, name) => report.measures[side].values[name];
    return (share) => {
      const at = Math.log(22 * (20000 / 22) ** share);
      const k = hz.reduce((best, each, place) =>
        Math.abs(Math.log(each) - at) < Math.abs(Math.log(hz[best]) - at) ? place : best, 0);
      const [was, now] = ["before", "after"].map((side) => value(side, names[k]));
      if (was === null || now === null) return "";
      const middle = group === "tone" ? report.judged.measures[names[k]].mean : 0;
      const label = hz[k] >= 1000 ? `${hz[k] / 1000} kHz` : `${hz[k] === 32 ? 31.5 : hz[k]} Hz`;
      const signed = (x) => `${x >= 0 ? "+" : ""}${fixed(x)}`;
      return `${label}: ${signed(was - middle)} → ${signed(now - middle)} dB`;
    };
  };
  const loud = (share) => {
    const second = Math.min(Math.floor(share * report.input.duration_s), after.short_term_lufs.length - 1);
    const read = (side) => {
      const value = side.short_term_lufs[second];
      return value === null || value === undefined ? "–" : fixed(value);
    };
    return `${clock(Math.max(second, 0))}: ${read(before)} → ${read(after)} LUFS`;
  };
  for (const group of ["tone", "width"]) {
    const output = document.getElementById(`${group}-readout`);
    if (!output) continue;
    readout(group, output, under(group));
    readout(`${group}-change`, output, under(group));
  }
  readout("loudness", document.getElementById("loudness-readout"), loud);
})();
