/* The half minute that is rendered first, beside the same half minute of the song. */
import { get } from "../api.js";
import { clock } from "../format.js";
import { Player } from "../listen.js";
import { Note } from "../parts.js";
import { texts } from "../texts.js";
import { html, useEffect, useState } from "../vendor/preact.js";

export function PreviewPlayer({ job, upload }) {
  const [report, setReport] = useState(null), [problem, setProblem] = useState(null);
  useEffect(() => { get(`/v1/jobs/${job.id}/report`).then(setReport, setProblem); }, [job.id]);
  if (problem) return html`<${Note} detail=${problem.message} />`;
  if (!report) return html`<div class="player-space" aria-busy="true"></div>`;
  const master = job.files.find((file) => file.role === "master");
  const startS = report.preview?.start_s ?? 0, lengthS = master.audio.duration_s;
  const sides = [
    { name: "before", label: texts.job.before, colour: "before", url: `/v1/uploads/${upload.id}/content`, peaksUrl: `/v1/uploads/${upload.id}/peaks`, shiftS: startS, lufs: report.before.integrated_lufs },
    { name: "after", label: texts.job.after, colour: "after", url: master.url, peaksUrl: master.peaks_url, lufs: report.after.integrated_lufs },
  ];
  return html`<p class="lead">${texts.preview.lead(clock(startS), clock(startS + lengthS))}</p>
    <${Player} sides=${sides} startS=${startS} lengthS=${lengthS} rate=${master.audio.rate_hz} first="after" />`;
}
