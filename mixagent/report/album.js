"use strict";
/* The report of an album: what the strip reads under the pointer. */
(() => {
  const { clock, fixed, readout } = listening;
  const { songs } = JSON.parse(document.getElementById("report").textContent);
  const lengths = songs.map((song) => song.after.duration_s);
  const total = lengths.reduce((sum, length) => sum + length, 0);

  readout("strip", document.getElementById("strip-readout"), (share) => {
    let at = share * total, k = 0;
    while (k < songs.length - 1 && at >= lengths[k]) at -= lengths[k++];
    const read = (side) => {
      const value = songs[k][side].short_term_lufs[Math.floor(at)];
      return value === null || value === undefined ? "–" : fixed(value);
    };
    return `${k + 1}. ${songs[k].title} ${clock(at)}: ${read("before")} → ${read("after")} LUFS`;
  });
})();
